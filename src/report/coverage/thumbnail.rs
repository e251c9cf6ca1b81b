//! Thumbnails: a part of a picture, seen through the transparent parts of a template.
//!
//! The part that lies in `crop` is scaled to the size of `location` and put there on nothing, and the template over it, as its opacity
//! says. Scaling is Lanczos with three lobes, first across and then down, over the source pixels that a pixel covers. What of `crop` lies
//! outside the picture is black; what of `location` lies outside the template is left out.

use std::f32::consts::PI;

/// The largest picture, either way.
pub const MOST_SIDE: usize = 4_096;
/// A box may reach this far outside.
const FURTHEST: i32 = 16_384;
/// Lobes of the filter.
const LOBES: f32 = 3.0;
/// Red, green, blue, opacity.
const PIXEL: usize = 4;

/// Red, green, blue and opacity of each pixel, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Picture {
    /// `None` unless these are the pixels of such a picture.
    pub fn new(width: usize, height: usize, pixels: Vec<u8>) -> Option<Self> {
        let is_possible = |side: usize| (1..=MOST_SIDE).contains(&side);
        let fits = is_possible(width) && is_possible(height) && pixels.len() == width * height * PIXEL;
        fits.then_some(Self { width, height, pixels })
    }

    /// Width and height.
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// Row by row.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// All of it.
    pub fn whole(&self) -> Area {
        let side = |side: usize| i32::try_from(side).unwrap_or(i32::MAX);
        Area { left: 0, top: 0, right: side(self.width), bottom: side(self.height) }
    }

    fn at(&self, x: i32, y: i32) -> Option<&[u8; PIXEL]> {
        let (x, y) = (usize::try_from(x).ok()?, usize::try_from(y).ok()?);
        if x >= self.width || y >= self.height {
            return None;
        }
        self.pixels.as_chunks::<PIXEL>().0.get(y * self.width + x)
    }
}

/// A box of pixels: from `left` and `top` to before `right` and `bottom`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    left: i32,
    top: i32,
    right: i32,
    bottom: i32,
}

impl Area {
    /// `None` if it has no pixels, too many, or reaches too far.
    pub fn new([left, top, right, bottom]: [i32; 4]) -> Option<Self> {
        let is_near = |at: &i32| (-FURTHEST..=FURTHEST).contains(at);
        let area = Self { left, top, right, bottom };
        let most = i32::try_from(MOST_SIDE).unwrap_or(i32::MAX);
        let is_possible = |side: i32| (1..=most).contains(&side);
        let is_near = [left, top, right, bottom].iter().all(is_near);
        (is_near && is_possible(right - left) && is_possible(bottom - top)).then_some(area)
    }

    /// `LEFT,TOP,RIGHT,BOTTOM`
    pub fn parse(text: &str) -> Option<Self> {
        let sides: Vec<i32> = text.split(',').map(|side| side.trim().parse().ok()).collect::<Option<_>>()?;
        Self::new(sides.try_into().ok()?)
    }

    fn size(self) -> (usize, usize) {
        let side = |side: i32| usize::try_from(side).unwrap_or_default();
        (side(self.right - self.left), side(self.bottom - self.top))
    }
}

/// The template over that part of the picture.
pub fn compose(template: &Picture, picture: &Picture, crop: Area, location: Area) -> Picture {
    let (width, height) = location.size();
    let scaled = scale(&cut(picture, crop), crop.size(), (width, height));
    let mut made = template.clone();
    let side = |at: usize| i32::try_from(at).unwrap_or(i32::MAX);
    for (row, line) in made.pixels.chunks_exact_mut(template.width * PIXEL).enumerate() {
        let y = usize::try_from(side(row) - location.top).ok().filter(|y| *y < height);
        for (column, pixel) in line.as_chunks_mut::<PIXEL>().0.iter_mut().enumerate() {
            let x = usize::try_from(side(column) - location.left).ok().filter(|x| *x < width);
            let below = x.zip(y).and_then(|(x, y)| scaled.get(y * width + x));
            *pixel = over(*pixel, below);
        }
    }
    made
}

/// One pixel over another one, which is opaque, or over nothing.
fn over([red, green, blue, opacity]: [u8; PIXEL], below: Option<&[u8; 3]>) -> [u8; PIXEL] {
    let Some(below) = below else { return [red, green, blue, opacity] };
    let mix = |above: u8, under: u8| {
        let (above, under, share) = (u32::from(above), u32::from(under), u32::from(opacity));
        u8::try_from((above * share + under * (255 - share) + 127) / 255).unwrap_or(u8::MAX)
    };
    [mix(red, below[0]), mix(green, below[1]), mix(blue, below[2]), 255]
}

/// The pixels of a part of a picture, without opacity.
fn cut(picture: &Picture, crop: Area) -> Vec<[u8; 3]> {
    let rows = crop.top..crop.bottom;
    let of_row = |y| {
        (crop.left..crop.right).map(move |x| picture.at(x, y).map_or([0; 3], |pixel| [pixel[0], pixel[1], pixel[2]]))
    };
    rows.flat_map(of_row).collect()
}

fn scale(pixels: &[[u8; 3]], (width, height): (usize, usize), (to_width, to_height): (usize, usize)) -> Vec<[u8; 3]> {
    let across = weights(width, to_width);
    let rows = pixels.chunks_exact(width.max(1));
    let narrow: Vec<[u8; 3]> =
        rows.flat_map(|row| across.iter().map(|each| mixed(row.iter().skip(each.0), &each.1))).collect();
    let down = weights(height, to_height);
    let column = |x: usize, from: usize| narrow.iter().skip(from * to_width + x).step_by(to_width.max(1));
    down.iter().flat_map(|each| (0..to_width).map(move |x| mixed(column(x, each.0), &each.1))).collect()
}

fn mixed<'p>(pixels: impl Iterator<Item = &'p [u8; 3]>, weights: &[f32]) -> [u8; 3] {
    let mut sums = [0.0_f32; 3];
    for (pixel, weight) in pixels.zip(weights) {
        for (sum, value) in sums.iter_mut().zip(pixel) {
            *sum += f32::from(*value) * weight;
        }
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast of floats saturates")]
    sums.map(|sum| sum.round() as u8)
}

/// For each pixel of the result the first source pixel that counts, and how much that and the next ones do; together 1.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "of some thousands"
)]
fn weights(from: usize, to: usize) -> Vec<(usize, Vec<f32>)> {
    let step = from as f32 / to.max(1) as f32;
    let stretch = step.max(1.0);
    let reach = LOBES * stretch;
    (0..to)
        .map(|at| {
            let centre = (at as f32 + 0.5) * step;
            let first = (centre - reach + 0.5).max(0.0) as usize;
            let end = ((centre + reach + 0.5) as usize).min(from);
            let all: Vec<f32> = (first..end).map(|source| lanczos((source as f32 + 0.5 - centre) / stretch)).collect();
            let sum: f32 = all.iter().sum();
            (first, all.iter().map(|weight| weight / sum).collect())
        })
        .collect()
}

fn lanczos(x: f32) -> f32 {
    let sinc = |at: f32| if at == 0.0 { 1.0 } else { (PI * at).sin() / (PI * at) };
    if x.abs() < LOBES { sinc(x) * sinc(x / LOBES) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filled((width, height): (usize, usize), pixel: [u8; PIXEL]) -> Picture {
        Picture::new(width, height, pixel.repeat(width * height)).unwrap()
    }

    /// Each pixel tells where it is.
    fn numbered(width: usize, height: usize) -> Picture {
        let pixels = (0..height)
            .flat_map(|y| (0..width).flat_map(move |x| [u8::try_from(x).unwrap(), u8::try_from(y).unwrap(), 0, 255]));
        Picture::new(width, height, pixels.collect()).unwrap()
    }

    fn area(text: &str) -> Area {
        Area::parse(text).unwrap()
    }

    #[test]
    fn the_picture_is_seen_where_the_template_lets_it_through() {
        let mut template = filled((4, 4), [200, 100, 50, 255]);
        // A hole, and a pixel that is half open.
        template.pixels[4 * (4 + 1) + 3] = 0;
        template.pixels[4 * (4 + 2) + 3] = 128;
        let picture = numbered(10, 10);
        let made = compose(&template, &picture, area("5,6,7,7"), area("1,1,3,2"));
        assert_eq!(made.at(0, 0), Some(&[200, 100, 50, 255]));
        assert_eq!(made.at(1, 1), Some(&[5, 6, 0, 255]));
        assert_eq!(made.at(2, 1), Some(&[103, 53, 25, 255]));
        assert_eq!(made.at(1, 2), Some(&[200, 100, 50, 255]));
    }

    #[test]
    fn what_lies_outside_is_black_or_left_out() {
        let nothing = filled((3, 1), [9, 9, 9, 0]);
        let made = compose(&nothing, &filled((2, 2), [255, 0, 0, 255]), area("-1,0,1,1"), area("-1,0,1,1"));
        // Of two pixels one is left of the picture and left of the template.
        assert_eq!(made.pixels, [255, 0, 0, 255, 9, 9, 9, 0, 9, 9, 9, 0]);
        let black = compose(&nothing, &filled((2, 2), [255, 0, 0, 255]), area("5,5,6,6"), area("0,0,1,1"));
        assert_eq!(black.at(0, 0), Some(&[0, 0, 0, 255]));
    }

    #[test]
    fn boxes_have_pixels_and_a_bound() {
        for bad in [
            "",
            "1,2,3",
            "1,2,3,4,5",
            "0,0,0,1",
            "2,0,1,1",
            "0,0,5000,1",
            "a,0,1,1",
            "-99999,0,1,1",
            "0,0,1,2147483648",
        ] {
            assert_eq!(Area::parse(bad), None, "{bad}");
        }
        assert!(Picture::new(1, 1, vec![0; 5]).is_none() && Picture::new(5_000, 1, vec![0; 20_000]).is_none());
        assert_eq!(numbered(3, 2).whole(), area("0, 0, 3, 2"));
    }

    proptest! {
        #[test]
        fn one_colour_stays_that_colour_at_any_size(
            size in (1..40_usize, 1..40_usize), to in (1..40_i32, 1..40_i32), colour in any::<[u8; 3]>(),
        ) {
            let picture = filled(size, [colour[0], colour[1], colour[2], 255]);
            let place = Area::new([0, 0, to.0, to.1]).unwrap();
            let template = filled(place.size(), [0; 4]);
            let made = compose(&template, &picture, picture.whole(), place);
            for pixel in made.pixels.chunks(4) {
                prop_assert_eq!(pixel, [colour[0], colour[1], colour[2], 255]);
            }
        }

        #[test]
        fn the_same_size_is_the_same_picture(width in 1..20_usize, height in 1..20_usize) {
            let picture = numbered(width, height);
            let made = compose(&filled((width, height), [0; 4]), &picture, picture.whole(), picture.whole());
            prop_assert_eq!(made, picture);
        }
    }
}
