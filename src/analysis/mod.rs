//! Floor 6, feature `analysis`: tables in and out through polars. No other folder knows polars.

pub mod parquet;
