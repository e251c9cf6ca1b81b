//! The coverage map as a PNG of three colours: two bits a pixel, whatever the window.

use png::{BitDepth, ColorType, Compression, Encoder, EncodingError, Filter};

use crate::archive::map::Colour;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::map::ROWS;

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
}
