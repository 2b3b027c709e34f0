//! Empty: see docs/adr/0002.
