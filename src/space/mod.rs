//! Floor 2: JSON documents, the decisions in them, and what is drawn from them.

pub mod ast;
pub mod signature;
