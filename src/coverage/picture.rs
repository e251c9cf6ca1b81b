//! The coverage map as a PNG of three colours: two bits a pixel, whatever the window.

use png::{BitDepth, ColorType, Encoder, EncodingError};

use crate::domain::map::{Colour, ROWS};

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// There is nothing to draw, or more than a picture can be wide.
    #[error("a map of {columns} columns cannot be drawn; 1 to {} are possible", u32::MAX >> 1)]
    Width {
        /// Of 300 pixels each.
        columns: usize,
    },
    /// The library refused.
    #[error("the map cannot be encoded: {0}")]
    Encoding(#[from] EncodingError),
}

/// Pixels in order of time: down each column of 300, column after column. What the last column lacks is white.
pub fn png(pixels: &[Colour]) -> Result<Vec<u8>, PictureError> {
    let columns = pixels.len().div_ceil(ROWS);
    let (Ok(width), Ok(height)) = (u32::try_from(columns), u32::try_from(ROWS)) else {
        return Err(PictureError::Width { columns });
    };
    if width == 0 || width > u32::MAX >> 1 {
        return Err(PictureError::Width { columns });
    }
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, width, height);
    encoder.set_color(ColorType::Indexed);
    encoder.set_depth(BitDepth::Two);
    encoder.set_palette(Colour::ALL.map(Colour::rgb).concat());
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&packed(pixels, columns))?;
    writer.finish()?;
    Ok(bytes)
}

/// Row by row, four pixels a byte, the first one in the highest bits; each row begins with a byte.
fn packed(pixels: &[Colour], columns: usize) -> Vec<u8> {
    let row_bytes = columns.div_ceil(4);
    let mut data = vec![0_u8; row_bytes * ROWS];
    for (column, colours) in pixels.chunks(ROWS).enumerate() {
        let shift = 6 - 2 * (column % 4);
        for (row, colour) in colours.iter().enumerate() {
            if let Some(byte) = data.get_mut(row * row_bytes + column / 4) {
                *byte |= (*colour as u8) << shift;
            }
        }
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pixel_is_where_time_says_and_has_its_colour() {
        // Five columns, the last one short, so that no row fills its bytes.
        let pixels: Vec<Colour> = (0..4 * ROWS + 7).map(|number| Colour::ALL[number * number % 3]).collect();
        let bytes = png(&pixels).unwrap();
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
        assert!(png(&[]).is_err());
    }
}
