//! proof placeholder
pub struct LedgerKey;
