"""Live inputs: a recording or a camera, slice by slice through a network, on a terminal or a web page."""

from spikedrive.live.network import Network
from spikedrive.live.player import Played, Player
from spikedrive.live.server import Server
from spikedrive.live.session import Answer, Session
from spikedrive.live.view import Totals

__all__ = ["Answer", "Network", "Played", "Player", "Server", "Session", "Totals"]
