"""Turns images into the inputs of the network."""

import numpy as np
from PIL import Image
from transformers.image_processing_utils import BaseImageProcessor, BatchFeature


class KasminaImageProcessor(BaseImageProcessor):
    """Converts, resizes and normalises images"""

    model_input_names = ["pixel_values"]

    def __init__(self, channels=3, height=32, width=32, mean=(0.0,), deviation=(1.0,), **kwargs):
        super().__init__(**kwargs)
        self.channels, self.height, self.width = channels, height, width
        self.mean, self.deviation = list(mean), list(deviation)

    def preprocess(self, images, return_tensors=None, **unused):
        images = images if isinstance(images, (list, tuple)) else [images]
        pixels = [self.pixels(image) for image in images]
        return BatchFeature({"pixel_values": pixels}, tensor_type=return_tensors)

    def pixels(self, image):
        """Returns one image as an array [channels, height, width]"""
        if not isinstance(image, Image.Image):
            image = Image.fromarray(np.asarray(image))
        image = image.convert("L" if self.channels == 1 else "RGB")
        if image.size != (self.width, self.height):
            image = image.resize((self.width, self.height), Image.Resampling.BILINEAR)
        pixels = np.asarray(image, dtype=np.float32).reshape(self.height, self.width, self.channels)
        mean, deviation = np.float32(self.mean), np.float32(self.deviation)
        return ((pixels / 255 - mean) / deviation).transpose(2, 0, 1)
