//! Certificates and tokens, for those who ask and those who answer.

pub mod tls;
pub mod tokens;
mod without_secrets;

pub use without_secrets::without_secrets;
