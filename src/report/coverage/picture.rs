//! Pictures as PNG: the coverage map in three colours, two bits a pixel; loudness as bars around the middle, black on nothing, so that a page
//! can lay it over anything; and thumbnails with opacity, read and written.
//!
//! The height of a bar is the square root of the mean of the samples, in which quiet speech is still seen, and which tools of this field
//! show. With several channels a pixel is as dense as many of them reach it.

use std::io::Cursor;

use png::{
    BitDepth, ColorType, Compression, Decoder, DecodingError, Encoder, EncodingError, Filter, Limits, Transformations,
};

use super::map::Colour;
use super::thumbnail::{MOST_SIDE, Picture};

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// There is nothing to draw, or more than a picture can be wide or high.
    #[error("a map of {columns} columns of {rows} pixels cannot be drawn; 1 to {} of each are possible", u32::MAX >> 1)]
    Size {
        /// How many.
        columns: usize,
        /// How high.
        rows: usize,
    },
    /// The library refused.
    #[error("the map cannot be encoded: {0}")]
    Encoding(#[from] EncodingError),
}

/// Pixels in order of time: down each column of so many rows, column after column. What the last column lacks is white.
pub fn png(pixels: &[Colour], rows: usize) -> Result<Vec<u8>, PictureError> {
    let columns = pixels.len().div_ceil(rows.max(1));
    let possible = |size: usize| u32::try_from(size).ok().filter(|size| (1..=u32::MAX >> 1).contains(size));
    let (Some(width), Some(height)) = (possible(columns), possible(rows)) else {
        return Err(PictureError::Size { columns, rows });
    };
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, width, height);
    encoder.set_color(ColorType::Indexed);
    encoder.set_depth(BitDepth::Two);
    encoder.set_palette(Colour::ALL.map(Colour::rgb).concat());
    // Long runs of one colour: nothing is gained by looking harder.
    encoder.set_compression(Compression::Fast);
    encoder.set_filter(Filter::NoFilter);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&packed(pixels, columns, rows))?;
    writer.finish()?;
    Ok(bytes)
}

/// Row by row, four pixels a byte, the first one in the highest bits; each row begins with a byte.
fn packed(pixels: &[Colour], columns: usize, rows: usize) -> Vec<u8> {
    let row_bytes = columns.div_ceil(4);
    let mut data = vec![0_u8; row_bytes * rows];
    for (group, colours) in pixels.chunks(4 * rows).enumerate() {
        for (shift, column) in [6, 4, 2, 0].into_iter().zip(colours.chunks(rows)) {
            for (byte, colour) in data.iter_mut().skip(group).step_by(row_bytes).zip(column) {
                *byte |= (*colour as u8) << shift;
            }
        }
    }
    data
}

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

/// The highest sample.
const FULL: u32 = 32_767;
/// No decoder gives more channels; one byte stands for each number of them.
const MOST_CHANNELS: usize = 64;

/// A PNG of so many rows: each column has the mean height of the samples of each channel, or no channel where nothing is heard.
pub fn curve(columns: &[Vec<u16>], height: u32) -> Result<Vec<u8>, PictureError> {
    let rows = usize::try_from(height).unwrap_or_default();
    let width = u32::try_from(columns.len()).ok().filter(|width| (1..=u32::MAX >> 1).contains(width));
    let (Some(width), 1..) = (width, rows) else {
        return Err(PictureError::Size { columns: columns.len(), rows });
    };
    let channels = columns.iter().map(Vec::len).max().unwrap_or_default().clamp(1, MOST_CHANNELS);
    let mut data = vec![0_u8; columns.len() * rows];
    for (at, means) in columns.iter().enumerate() {
        for bar in means.iter().take(channels).map(|mean| reach(*mean, height)) {
            let begin = (rows - bar.min(rows)) / 2;
            for pixel in data.iter_mut().skip(begin * columns.len() + at).step_by(columns.len()).take(bar) {
                *pixel += 1;
            }
        }
    }
    // A pixel says how many channels reach it; all are black.
    let opacity = |reached: usize| u8::try_from(255 * reached / channels).unwrap_or(u8::MAX);
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, width, height);
    encoder.set_color(ColorType::Indexed);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_palette(vec![0_u8; 3 * (channels + 1)]);
    encoder.set_trns((0..=channels).map(opacity).collect::<Vec<u8>>());
    encoder.set_compression(Compression::Fast);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&data)?;
    writer.finish()?;
    Ok(bytes)
}

/// How many rows a bar has.
fn reach(mean: u16, height: u32) -> usize {
    let value = u64::from(u32::from(mean).min(FULL));
    let height = u64::from(height);
    usize::try_from((value * height * height / u64::from(FULL)).isqrt()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::map::ROWS;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_pixel_is_where_time_says_and_has_its_colour() {
        // Five columns, the last one short, so that no row fills its bytes.
        let pixels: Vec<Colour> = (0..4 * ROWS + 7).map(|number| Colour::ALL[number * number % 3]).collect();
        let bytes = png(&pixels, ROWS).unwrap();
        let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let mut image = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut image).unwrap();
        assert_eq!((info.width, info.height, info.color_type), (5, 300, ColorType::Rgb));
        for column in 0..5 {
            for row in 0..ROWS {
                let at = (row * 5 + column) * 3;
                let expected = pixels.get(column * ROWS + row).copied().unwrap_or_default();
                assert_eq!(image[at..at + 3], expected.rgb(), "{column}, {row}");
            }
        }
        assert!(png(&[], ROWS).is_err() && png(&pixels, 0).is_err());
    }

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

    #[test]
    fn bars_are_black_and_grow_with_the_square_root() {
        // Nothing, silence, a quarter of the height, all of it, and one of two channels.
        let columns = [vec![], vec![0, 0], vec![2_050, 2_050], vec![32_768, 32_767], vec![0, 40_000]];
        let bytes = curve(&columns, 8).unwrap();
        let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let mut image = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut image).unwrap();
        assert_eq!((info.width, info.height, info.color_type), (5, 8, ColorType::Rgba));
        let rows: Vec<Vec<u8>> = image.chunks(20).map(|row| row.chunks(4).map(|pixel| pixel[3]).collect()).collect();
        for (row, opacity) in rows.iter().enumerate() {
            let quarter = if (3..5).contains(&row) { 255 } else { 0 };
            assert_eq!(*opacity, [0, 0, quarter, 255, 127], "{row}");
        }
        assert!(image.chunks(4).all(|pixel| pixel[..3] == [0, 0, 0]));
        assert!(curve(&[], 8).is_err() && curve(&columns, 0).is_err());
    }
}
