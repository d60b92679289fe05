//! Floor 5: the search for the best networks of a space.
//!
//! A [`Problem`](objective::Problem) names what to minimise, maximise and keep within. A [`Searcher`] is asked for
//! assignments and told what became of them; [`Costs`](evaluate::Costs) counts and predicts each, an
//! [`Evaluate`](evaluate::Evaluate) tells what only a run can. The loop is [`Run::search`]; its memory is a
//! [`journal`], its result an [`Outcome`], its files a [`folder`].

pub mod among;
pub mod archive;
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
pub mod known;
pub mod local;
mod memo;
pub mod metric;
pub mod nsga2;
pub mod objective;
pub mod outcome;
mod population;
mod positions;
pub mod process;
pub mod progress;
pub mod random;
mod record;
pub mod searcher;
pub mod sheet;
pub mod trials;
pub mod weigh;

pub use driver::{Run, SearchError, Settings};
pub use outcome::{Outcome, Stop, Tally};
pub use progress::{Phase, Progress, Silent, Watch};
pub use searcher::{SEARCHERS, Searcher, SearcherDef, Setup, Trial, searcher};
pub use trials::Trials;
