"""Language models in folders of Hugging Face's layout, for `training.spikellm`.

Needs the extra `spikedrive[language]`.
"""

from spikedrive.interop.huggingface.load import load_language_model, save_dequantised
from spikedrive.interop.huggingface.stream import convert_folder, load_converted

__all__ = ["convert_folder", "load_converted", "load_language_model", "save_dequantised"]
