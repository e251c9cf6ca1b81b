//! Certificates and tokens, for those who ask and those who answer.

pub mod tls;
pub mod tokens;
