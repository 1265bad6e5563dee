"""Clips of pictures with a class, a mask for every frame and key points for every frame."""

from spikedrive.data.video.clips import VideoSet
from spikedrive.data.video.moving_shapes import moving_shapes
from spikedrive.data.video.sources import VIDEO_SETS, list_video_splits, load_video

__all__ = ["VIDEO_SETS", "VideoSet", "list_video_splits", "load_video", "moving_shapes"]
