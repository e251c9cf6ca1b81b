//! Loudness as a picture: black on nothing, so that a page can lay it over anything, and turn it light.
//!
//! Bars stand around the middle. Their height is the square root of the mean of the samples, in which quiet speech is still seen, and
//! which tools of this field show. With several channels a pixel is as dense as many of them reach it.

use png::{BitDepth, ColorType, Compression, Encoder};

use super::PictureError;

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
    use super::*;

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
