//! Floor 5: the search for the best networks of a space.
//!
//! A [`Problem`](objective::Problem) names what to minimise, maximise and keep within. A [`Searcher`] is asked for
//! assignments and told what became of them; [`Costs`](evaluate::Costs) counts and predicts each, an
//! [`Evaluate`](evaluate::Evaluate) tells what only a run can. The loop is [`Run::search`]; its memory is a
//! [`journal`], its result an [`Outcome`], its files a [`folder`].

mod breed;
pub mod driver;
pub mod evaluate;
pub mod evolution;
pub mod exhaustive;
pub mod folder;
pub mod front;
pub mod guided;
pub mod hypervolume;
pub mod journal;
pub mod judge;
pub mod local;
mod memo;
pub mod metric;
pub mod nsga2;
pub mod objective;
mod population;
pub mod random;
mod record;
pub mod searcher;
pub mod trials;

pub use driver::{Outcome, Progress, Run, SearchError, Settings, Silent, Stop, Tally, Watch};
pub use searcher::{SEARCHERS, Searcher, SearcherDef, Setup, Trial, searcher};
pub use trials::Trials;
