//! Loudness as a curve: a PNG of one bit a pixel, white on nothing, so that it can be laid over anything.

use png::{BitDepth, ColorType, Compression, Encoder};

use super::PictureError;

/// A column for each lowest and highest sample, from -32768 to 32767; nothing where nothing is heard, a dot where all is silent.
pub fn curve(columns: &[Option<(i16, i16)>], height: u32) -> Result<Vec<u8>, PictureError> {
    let wrong = || PictureError::Size { columns: columns.len(), rows: usize::try_from(height).unwrap_or(usize::MAX) };
    let width = u32::try_from(columns.len()).ok().filter(|width| *width > 0 && height > 0).ok_or_else(wrong)?;
    let row_bytes = columns.len().div_ceil(8);
    let mut data = vec![0_u8; row_bytes * usize::try_from(height).map_err(|_| wrong())?];
    for (at, column) in columns.iter().enumerate() {
        let Some((low, high)) = column else { continue };
        let rows = row(*high, height)..=row(*low, height);
        let height = usize::try_from(height).unwrap_or_default();
        for bytes in data.chunks_mut(row_bytes).take(height.min(rows.end() + 1)).skip(*rows.start()) {
            if let Some(byte) = bytes.get_mut(at / 8) {
                *byte |= 0x80 >> (at % 8);
            }
        }
    }
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, width, height);
    encoder.set_color(ColorType::Indexed);
    encoder.set_depth(BitDepth::One);
    encoder.set_palette([0_u8, 0, 0, 255, 255, 255].as_slice());
    encoder.set_trns([0_u8, 255].as_slice());
    encoder.set_compression(Compression::Fast);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&data)?;
    writer.finish()?;
    Ok(bytes)
}

/// The row of a sample, from the top.
fn row(sample: i16, height: u32) -> usize {
    let from_top = i64::from(i16::MAX) - i64::from(sample);
    usize::try_from(from_top * i64::from(height) / 65_536).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_reaches_from_its_lowest_to_its_highest() {
        let columns = [None, Some((0, 0)), Some((i16::MIN, i16::MAX)), Some((-16_384, 16_384)), Some((8_192, 16_384))];
        let bytes = curve(&columns, 8).unwrap();
        let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let mut image = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut image).unwrap();
        assert_eq!((info.width, info.height, info.color_type), (5, 8, ColorType::Rgba));
        let lit =
            |x: usize| (0..8).map(|y| if image[(y * 5 + x) * 4 + 3] == 255 { '#' } else { '.' }).collect::<String>();
        assert_eq!((0..5).map(lit).collect::<Vec<_>>(), ["........", "...#....", "########", ".#####..", ".##....."]);
        assert!(curve(&[], 8).is_err() && curve(&columns, 0).is_err());
    }
}
