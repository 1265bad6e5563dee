"""Residual and plain networks of spiking convolutions."""

from spikedrive.models.convolutional import asa_csnn, ms_resnet, sew_resnet, spiking_vgg

__all__ = ["asa_csnn", "ms_resnet", "sew_resnet", "spiking_vgg"]
