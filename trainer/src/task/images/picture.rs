//! Reading one picture of the user as the input of a network.

use crate::error::TrainError;
use crate::task::ImageInput;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder as _, ImageReader, Limits};
use kasmina_files::{limit, read};
use std::io::Cursor;
use std::path::Path;
use tch::{Kind, Tensor};

/// Largest width or height of a picture, in pixels.
const MAX_SIDE: u32 = 1 << 15;
/// Memory that decoding a picture may take, in bytes.
const MAX_MEMORY: u64 = 1 << 29;

/// Reads a PNG, JPEG or WebP file as the input of a network: converted to grey or RGB, and normalised. An
/// alpha channel is dropped.
///
/// # Shapes
/// Returns `[channels, height, width]`, float32, on the CPU.
///
/// # Errors
/// If the file is not such a picture, or has another size than the network reads.
pub fn read_picture(path: &Path, input: &ImageInput) -> Result<Tensor, TrainError> {
    let wrong = |reason: String| TrainError::Picture { path: path.to_owned(), reason };
    let bytes = read(path, limit::PICTURE).map_err(|e| wrong(e.to_string()))?;
    let picture = decode(&bytes, input).map_err(wrong)?;
    let pixels = match input.channels {
        1 => grey(&picture),
        3 => picture.to_rgb8().into_raw(),
        other => {
            return Err(wrong(format!(
                "the network reads {other} channels; a picture has 1 (grey) or 3 (RGB)"
            )));
        }
    };
    let pixels = Tensor::f_from_slice(&pixels)?
        .f_view([input.height, input.width, input.channels])?
        .f_permute([2, 0, 1])?
        .f_contiguous()?
        .f_to_kind(Kind::Float)?;
    let channels = |values: &[f64]| -> Result<Tensor, TrainError> {
        Ok(Tensor::f_from_slice(values)?.f_to_kind(Kind::Float)?.f_view([input.channels, 1, 1])?)
    };
    let (mean, deviation) = (channels(&input.mean)?, channels(&input.deviation)?);
    Ok(pixels.f_div_scalar(255.0)?.f_sub(&mean)?.f_div(&deviation)?)
}

/// Decodes a picture of the size that the network reads. A picture of another size is not decoded, because
/// it may take long.
fn decode(bytes: &[u8], input: &ImageInput) -> Result<DynamicImage, String> {
    let text = |e: image::ImageError| e.to_string();
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| e.to_string())?;
    if reader.format().is_none() {
        return Err("it is not a PNG, JPEG or WebP file".to_owned());
    }
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(MAX_SIDE), Some(MAX_SIDE));
    limits.max_alloc = Some(MAX_MEMORY);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(text)?;
    // Cameras write pictures as the sensor lies, and note how they are to be turned.
    let orientation = decoder.orientation().map_err(text)?;
    let turned = matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    );
    let (width, height) = decoder.dimensions();
    let (width, height) = if turned { (height, width) } else { (width, height) };
    if (i64::from(height), i64::from(width)) != (input.height, input.width) {
        return Err(format!(
            "it has {width} x {height} pixels; the network reads pictures of {} x {}",
            input.width, input.height
        ));
    }
    let mut picture = DynamicImage::from_decoder(decoder).map_err(text)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

/// Returns the grey values of a picture. Colours have the weights of ITU-R BT.601, as in Pillow.
fn grey(picture: &DynamicImage) -> Vec<u8> {
    if !picture.color().has_color() {
        return picture.to_luma8().into_raw();
    }
    let weighted = |pixel: &image::Rgb<u8>| {
        let [red, green, blue] = pixel.0.map(u32::from);
        ((red * 19_595 + green * 38_470 + blue * 7_471 + 0x8000) >> 16) as u8
    };
    picture.to_rgb8().pixels().map(weighted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageFormat, Rgb, RgbImage};

    fn input(channels: i64) -> ImageInput {
        let of = |value: f64| vec![value; channels as usize];
        ImageInput { channels, height: 2, width: 3, mean: of(0.5), deviation: of(0.25) }
    }

    fn written(format: ImageFormat, name: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        let colours = |x: u32, y: u32| Rgb([x as u8 * 100, y as u8 * 200, 7]);
        RgbImage::from_fn(3, 2, colours).save_with_format(&path, format).unwrap();
        (dir, path)
    }

    #[test]
    fn a_picture_becomes_the_input_that_the_network_was_trained_on() {
        for format in [ImageFormat::Png, ImageFormat::WebP] {
            let (_dir, path) = written(format, "picture");
            let tensor = read_picture(&path, &input(3)).unwrap();
            assert_eq!(tensor.size(), [3, 2, 3]);
            let at = |c: i64, y: i64, x: i64| tensor.f_double_value(&[c, y, x]).unwrap();
            let want = |value: f64| (value / 255.0 - 0.5) / 0.25;
            for (c, y, x, value) in [(0, 0, 2, 200.0), (0, 1, 0, 0.0), (1, 1, 2, 200.0), (2, 0, 0, 7.0)] {
                assert!((at(c, y, x) - want(value)).abs() < 1e-5, "{format:?} {c} {y} {x}");
            }
            let grey = read_picture(&path, &input(1)).unwrap();
            // 0.299 x 100 + 0.587 x 200 + 0.114 x 7 = 148.1
            assert!((grey.f_double_value(&[0, 1, 1]).unwrap() - want(148.0)).abs() < 1e-5);
        }
    }

    #[test]
    fn another_file_or_size_is_refused() {
        let (dir, path) = written(ImageFormat::Jpeg, "picture.jpg");
        let refused = |path: &Path, input: &ImageInput| read_picture(path, input).unwrap_err().to_string();
        let small = ImageInput { width: 2, ..input(3) };
        assert!(refused(&path, &small).ends_with("it has 3 x 2 pixels; the network reads pictures of 2 x 2"));
        assert!(refused(&path, &input(4)).contains("the network reads 4 channels"));
        let text = dir.path().join("text.png");
        std::fs::write(&text, "no picture").unwrap();
        assert!(refused(&text, &input(3)).ends_with("it is not a PNG, JPEG or WebP file"));
        let cut = dir.path().join("cut.png");
        let (_dir, whole) = written(ImageFormat::Png, "whole.png");
        std::fs::write(&cut, &std::fs::read(whole).unwrap()[..40]).unwrap();
        assert!(read_picture(&cut, &input(3)).is_err());
        assert!(read_picture(&dir.path().join("missing.png"), &input(3)).is_err());
    }
}
