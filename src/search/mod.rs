//! Floor 5: the search for the best networks of a space.
//!
//! A [`Problem`](objective::Problem) names what to minimise, maximise and keep within.

pub mod front;
pub mod hypervolume;
pub mod journal;
pub mod metric;
pub mod objective;
