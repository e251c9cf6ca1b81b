//! Reads bits and the variable-length numbers of H.264 and HEVC (ITU-T H.264, 9.1). Behind the end there is nothing: `None`.

/// Bits of a parameter set, from which the bytes that only keep start codes away have been taken out.
#[derive(Debug)]
pub(super) struct Bits {
    bytes: Vec<u8>,
    at: usize,
}

impl Bits {
    /// The bits of what a unit holds behind its header.
    pub fn new(payload: &[u8]) -> Self {
        Self::plain(unescaped(payload))
    }

    /// The bits of bytes that are read already.
    pub fn plain(bytes: Vec<u8>) -> Self {
        Self { bytes, at: 0 }
    }

    /// One bit.
    pub fn flag(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// Up to 32 bits.
    pub fn number(&mut self, count: u32) -> Option<u32> {
        let mut number: u32 = 0;
        for _ in 0..count {
            number = number << 1 | u32::from(self.flag()?);
        }
        Some(number)
    }

    /// Bits that mean nothing here.
    pub fn skip(&mut self, count: u32) -> Option<()> {
        (0..count).try_for_each(|_| self.flag().map(drop))
    }

    /// `ue(v)`.
    pub fn unsigned(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let rest = self.number(zeros)?;
        ((1_u32 << zeros) - 1).checked_add(rest)
    }

    /// `se(v)`.
    pub fn signed(&mut self) -> Option<i64> {
        let code = i64::from(self.unsigned()?);
        Some(if code % 2 == 0 { -(code / 2) } else { code / 2 + 1 })
    }
}

/// Without the bytes that only keep start codes away (ITU-T H.264, 7.4.1.1).
pub(super) fn unescaped(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(payload.len());
    let mut zeros = 0;
    for byte in payload {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        bytes.push(*byte);
    }
    bytes
}

/// What is left of a picture when its margins (left, right, top, bottom, in these units) are cut off; H.264 and HEVC write them alike.
pub(super) fn cropped(bits: &mut Bits, whole: (u32, u32), unit: (u32, u32)) -> Option<(u32, u32)> {
    let across = bits.unsigned()?.checked_add(bits.unsigned()?)?.checked_mul(unit.0)?;
    let down = bits.unsigned()?.checked_add(bits.unsigned()?)?.checked_mul(unit.1)?;
    let left = (whole.0.checked_sub(across)?, whole.1.checked_sub(down)?);
    Some(left).filter(|(width, height)| *width > 0 && *height > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_the_standard_writes_them() {
        // 1 010 011 00100 00101 000...: 0, 1, 2, 3, 4.
        let bytes = [0b1010_0110, 0b0100_0010, 0b1000_0000];
        let (mut bits, mut again) = (Bits::new(&bytes), Bits::new(&bytes));
        let unsigned: Vec<u32> = (0..5).map(|_| bits.unsigned().unwrap()).collect();
        assert_eq!(unsigned, [0, 1, 2, 3, 4]);
        let signed: Vec<i64> = (0..5).map(|_| again.signed().unwrap()).collect();
        assert_eq!(signed, [0, 1, -1, 2, -2]);
        assert_eq!(Bits::new(&[0, 0, 3, 1, 0xff]).number(32), Some(0x0000_01ff));
        assert_eq!(Bits::new(&[0; 9]).unsigned(), None);
        assert_eq!(Bits::new(&[]).flag(), None);
    }
}
