//! Pictures with opacity from and to PNG, for thumbnails.

use std::io::Cursor;

use png::{BitDepth, ColorType, Compression, Decoder, DecodingError, Encoder, Limits, Transformations};

use super::PictureError;
use crate::archive::thumbnail::{MOST_SIDE, Picture};

/// What a decoder may hold: a picture of the largest size, and as much beside it.
const MOST_BYTES: usize = MOST_SIDE * MOST_SIDE * 4 * 2;

/// Why these bytes are no picture for us.
#[derive(Debug, thiserror::Error)]
pub enum NoPicture {
    /// They are no PNG.
    #[error("it is no PNG: {0}")]
    Bytes(#[from] DecodingError),
    /// It has too many pixels.
    #[error("it has {width} x {height} pixels, and {MOST_SIDE} either way are possible")]
    Size {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
    },
}

/// Reads a PNG of any kind.
pub fn decode(bytes: &[u8]) -> Result<Picture, NoPicture> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: MOST_BYTES });
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16 | Transformations::ALPHA);
    let mut reader = decoder.read_info()?;
    let (width, height) = (reader.info().width, reader.info().height);
    let too_large = || NoPicture::Size { width, height };
    let side = |side: u32| usize::try_from(side).ok().filter(|side| *side <= MOST_SIDE);
    let (columns, rows) = side(width).zip(side(height)).ok_or_else(too_large)?;
    let mut pixels = vec![0; reader.output_buffer_size().ok_or_else(too_large)?];
    let info = reader.next_frame(&mut pixels)?;
    pixels.truncate(info.buffer_size());
    if info.color_type == ColorType::GrayscaleAlpha {
        pixels = pixels.as_chunks::<2>().0.iter().flat_map(|[grey, opacity]| [*grey, *grey, *grey, *opacity]).collect();
    }
    Picture::new(columns, rows, pixels).ok_or_else(too_large)
}

/// Writes a PNG.
pub fn encode(picture: &Picture) -> Result<Vec<u8>, PictureError> {
    let (columns, rows) = picture.size();
    let side = |side: usize| u32::try_from(side).map_err(|_| PictureError::Size { columns, rows });
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, side(columns)?, side(rows)?);
    encoder.set_color(ColorType::Rgba);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Fast);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(picture.pixels())?;
    writer.finish()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_picture_comes_back_and_grey_ones_are_read_too() {
        let picture = Picture::new(2, 1, vec![1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
        assert_eq!(decode(&encode(&picture).unwrap()).unwrap(), picture);
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, 2, 1);
        encoder.set_color(ColorType::Grayscale);
        encoder.set_depth(BitDepth::One);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&[0b0100_0000]).unwrap();
        writer.finish().unwrap();
        assert_eq!(decode(&bytes).unwrap().pixels(), [0, 0, 0, 255, 255, 255, 255, 255]);
    }

    #[test]
    fn what_is_too_large_is_not_begun() {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, 5_000, 1);
        encoder.set_color(ColorType::Grayscale);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&[0; 5_000]).unwrap();
        writer.finish().unwrap();
        assert!(matches!(decode(&bytes), Err(NoPicture::Size { width: 5_000, height: 1 })));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut all = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
            all.extend(bytes);
            let _either = decode(&all);
        }
    }
}
