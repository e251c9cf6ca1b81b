//! Decrypts segments of AES-128 while they come: cipher block chaining with padding by PKCS #7 (RFC 8216, 5.2).
//!
//! 1. The last block is held back until the end is known: it is padded.
//! 2. What was cut off within a block, or is padded wrongly, is an error at the end; what came before it stands.

use aes::Aes128;
use aes::cipher::{Block, BlockModeDecrypt as _, KeyIvInit as _};

const BLOCK: usize = 16;

/// What was encrypted with another key, or was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecryptError {
    #[error("it was cut off within a block of its encryption")]
    Torn,
    #[error("it does not end as something that was encrypted with this key")]
    Padding,
}

/// The bytes of one encrypted file.
pub struct Decryptor {
    cipher: cbc::Decryptor<Aes128>,
    /// What has come and is not decrypted yet: less than two blocks.
    held: Vec<u8>,
}

impl std::fmt::Debug for Decryptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decryptor").finish_non_exhaustive()
    }
}

impl Decryptor {
    pub fn new(key: [u8; BLOCK], iv: [u8; BLOCK]) -> Self {
        Self { cipher: cbc::Decryptor::new(&key.into(), &iv.into()), held: Vec::new() }
    }

    /// Takes the next bytes, and gives those that are decrypted.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        // One whole block stays.
        let ready = all.len().saturating_sub(1) / BLOCK * BLOCK;
        self.held = all.split_off(ready);
        self.blocks(&mut all);
        all
    }

    /// All bytes have come: the last of them, without the padding.
    pub fn finish(mut self) -> Result<Vec<u8>, DecryptError> {
        let mut last = std::mem::take(&mut self.held);
        if last.len() != BLOCK {
            return Err(DecryptError::Torn);
        }
        self.blocks(&mut last);
        let padding = last.last().copied().unwrap_or_default();
        let kept = BLOCK.checked_sub(usize::from(padding)).filter(|kept| *kept < BLOCK);
        let is_padding = |at: &usize| last.iter().skip(*at).all(|byte| *byte == padding);
        let kept = kept.filter(is_padding).ok_or(DecryptError::Padding)?;
        last.truncate(kept);
        Ok(last)
    }

    fn blocks(&mut self, bytes: &mut [u8]) {
        let mut blocks: Vec<Block<Aes128>> =
            bytes.as_chunks::<BLOCK>().0.iter().map(|block| Block::<Aes128>::from(*block)).collect();
        self.cipher.decrypt_blocks(&mut blocks);
        for (to, from) in bytes.as_chunks_mut::<BLOCK>().0.iter_mut().zip(blocks) {
            *to = from.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use aes::cipher::{BlockModeEncrypt as _, KeyIvInit as _};
    use proptest::prelude::*;

    use super::*;

    fn encrypted(key: [u8; 16], iv: [u8; 16], plain: &[u8]) -> Vec<u8> {
        let padding = BLOCK - plain.len() % BLOCK;
        let mut bytes = plain.to_vec();
        bytes.extend(std::iter::repeat_n(u8::try_from(padding).unwrap(), padding));
        let mut cipher = cbc::Encryptor::<Aes128>::new(&key.into(), &iv.into());
        let mut all = Vec::new();
        for block in bytes.as_chunks::<BLOCK>().0 {
            let mut block = Block::<Aes128>::from(*block);
            cipher.encrypt_block(&mut block);
            all.extend_from_slice(&block);
        }
        all
    }

    #[test]
    fn the_vector_of_the_standard_is_decrypted() {
        // NIST SP 800-38A, F.2.1, first block.
        let hex = |text: &str| u128::from_str_radix(text, 16).unwrap().to_be_bytes();
        let (key, iv) = (hex("2b7e151628aed2a6abf7158809cf4f3c"), hex("000102030405060708090a0b0c0d0e0f"));
        let plain = hex("6bc1bee22e409f96e93d7e117393172a");
        let cipher = hex("7649abac8119b246cee98e9b12e9197d");
        assert_eq!(encrypted(key, iv, &plain)[..16], cipher);
        let mut decryptor = Decryptor::new(key, iv);
        assert_eq!(decryptor.take(&[&cipher[..], &[0]].concat()), plain);
    }

    proptest! {
        #[test]
        fn whatever_pieces_it_comes_in_it_is_what_was_encrypted(
            key: [u8; 16], iv: [u8; 16], plain in prop::collection::vec(any::<u8>(), 0..300), pieces in prop::collection::vec(1_usize..40, 1..60),
        ) {
            let bytes = encrypted(key, iv, &plain);
            let (mut decryptor, mut found, mut rest) = (Decryptor::new(key, iv), Vec::new(), &bytes[..]);
            for piece in pieces.iter().cycle() {
                let (now, later) = rest.split_at((*piece).min(rest.len()));
                found.extend(decryptor.take(now));
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            found.extend(decryptor.finish().unwrap());
            prop_assert_eq!(found, plain);
        }

        #[test]
        fn what_was_cut_off_is_an_error(key: [u8; 16], iv: [u8; 16], plain in prop::collection::vec(any::<u8>(), 16..100), cut in 1_usize..16) {
            let bytes = encrypted(key, iv, &plain);
            let mut decryptor = Decryptor::new(key, iv);
            decryptor.take(&bytes[..bytes.len() - cut]);
            prop_assert_eq!(decryptor.finish(), Err(DecryptError::Torn));
        }
    }
}
