//! Networks that many boards ran.
//!
//! The logarithm of a network's time on a board is the board's speed, plus the network's own part, plus what each doubling
//! of threads changes of it, plus a deviation. Deviations of networks go together (what is slow at depthwise convolutions
//! slows five of them), so six measured networks say a good deal of the others: the conditional mean of a Gaussian. Nothing
//! is said of a network that no board ran; that is for the rates.
//!
//! # Source
//! Expectation maximisation with missing cells and Student weights: Liu and Rubin, ML estimation of the t distribution using
//! EM and its extensions (1995), with a prior of independent deviations that counts as some boards.

use super::arm::{BoardTable, chip};
use super::fit::short;
use super::interval::{self, scale};
use super::linear::{Matrix, cholesky, dot, part, solve};
use super::sample::draw;
use crate::base::stats::{mean, median};
use crate::device::{Law, Profile, signature};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The format of the file.
pub const FORMAT: &str = "blocksmith-peers/1";

/// What shipped boards have in common. `blocksmith calibrate --public` writes it.
pub const BUILT_IN: &str = include_str!("../../results/devices/peers/ncnn.json");

/// Fewer known networks than this place no board.
pub const MIN_SHOTS: usize = 3;

/// Networks of one runtime and how their times go together over boards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peers {
    /// Always [`FORMAT`].
    pub format: String,
    /// What ran the networks.
    pub runtime: String,
    /// How it turns shapes into work.
    pub law: Law,
    /// The tables, who measured, under which licence.
    pub provenance: [String; 3],
    /// Tables and chips fitted.
    pub counts: [usize; 2],
    /// Half width of the 80 % interval over the standard deviation times [`scale`](Self::scale), on chips left out.
    pub spread: f64,
    /// The networks.
    pub networks: Vec<Peer>,
    /// Covariance of their deviations: its lower triangle, by rows.
    pub covariance: Matrix,
}

/// One network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Its name.
    pub network: String,
    /// [`signature`] of its kernels.
    pub signature: u64,
    /// Logarithm of its time over that of a typical network, on one thread.
    pub log: f64,
    /// What each doubling of threads adds.
    pub doubling: f64,
}

/// A table as the fit sees it: logarithms of times by network.
#[derive(Clone, Debug, PartialEq)]
pub struct Board {
    /// Which tables belong together.
    pub chip: String,
    /// Threads.
    pub threads: u32,
    /// `None` where the network did not run.
    pub logs: Vec<Option<f64>>,
}

impl Board {
    /// The networks that ran.
    pub fn ran(&self) -> Vec<usize> {
        let all = self.logs.iter().enumerate();
        all.filter_map(|(i, log)| log.map(|_| i)).collect()
    }

    /// As if only these had been measured.
    #[must_use]
    pub fn only(&self, networks: &[usize]) -> Self {
        let kept = |(i, log): (usize, &Option<f64>)| log.filter(|_| networks.contains(&i));
        let logs = self.logs.iter().enumerate().map(kept).collect();
        Self {
            logs,
            ..self.clone()
        }
    }
}

/// Parts that chips are dealt into to be left out in turn.
pub const PARTS: usize = 10;

/// The part of a board's chip.
pub fn part_of(boards: &[Board], board: &Board) -> usize {
    let chips: BTreeSet<&str> = boards.iter().map(|b| b.chip.as_str()).collect();
    let before = chips.range(..board.chip.as_str()).count();
    before % PARTS
}

/// Networks measured on a board in the figures.
pub const SHOTS: usize = 6;

/// Times that they are drawn.
pub const DRAWS: u64 = 3;

/// Deviations before any data: this variance, counted as this many boards.
const PRIOR: (f64, f64) = (0.04, 3.0);

/// How many times one doubling of threads must be seen to count fully.
const DOUBLINGS: f64 = 10.0;

/// Degrees of freedom: tables far from all others count less.
const FREEDOM: f64 = 8.0;

/// Variance of a board's speed: any speed is as likely.
const SPEED: f64 = 100.0;

const ROUNDS: usize = 40;

/// The networks of the tables and the tables as `fit` takes them.
pub fn boards_of(tables: &[BoardTable]) -> (Vec<Peer>, Vec<Board>) {
    let mut peers: BTreeMap<&str, Peer> = BTreeMap::new();
    for sample in tables.iter().flat_map(|t| &t.samples) {
        peers.entry(&sample.network).or_insert_with(|| Peer {
            network: sample.network.clone(),
            signature: signature(&sample.kernels),
            log: 0.0,
            doubling: 0.0,
        });
    }
    let names: Vec<&str> = peers.keys().copied().collect();
    let board = |table: &BoardTable| {
        let mut logs = vec![None; names.len()];
        for sample in &table.samples {
            if let Ok(i) = names.binary_search(&sample.network.as_str()) {
                logs[i] = Some(sample.latency_s.ln());
            }
        }
        Board {
            chip: chip(&table.soc).to_owned(),
            threads: u32::try_from(table.threads).unwrap_or(1).max(1),
            logs,
        }
    };
    let boards = tables.iter().map(board).collect();
    (peers.into_values().collect(), boards)
}

impl Peers {
    /// Fits the boards that `keep` lets in.
    pub fn fit(networks: &[Peer], boards: &[Board], keep: impl Fn(&Board) -> bool) -> Self {
        let kept: Vec<&Board> = boards.iter().filter(|b| keep(b)).collect();
        let mut tables_of: BTreeMap<&str, f64> = BTreeMap::new();
        for board in &kept {
            *tables_of.entry(&board.chip).or_default() += 1.0;
        }
        // a chip's many tables say less than as many chips
        let weight = |b: &Board| 1.0 / tables_of[b.chip.as_str()].sqrt();
        let n = networks.len();
        let square = |variance: f64| -> Matrix {
            let row = |i| {
                (0..n)
                    .map(|j| if i == j { variance } else { 0.0 })
                    .collect()
            };
            (0..n).map(row).collect()
        };
        let mut peers = Self {
            format: FORMAT.to_owned(),
            runtime: String::new(),
            law: Law::PLAIN,
            provenance: Default::default(),
            counts: [kept.len(), tables_of.len()],
            spread: 0.0,
            networks: networks.to_vec(),
            covariance: square(PRIOR.0),
        };
        for (i, peer) in peers.networks.iter_mut().enumerate() {
            let over = |b: &&Board| Some(b.logs[i]? - level(b, |_| 0.0));
            let over: Vec<f64> = kept.iter().filter_map(over).collect();
            (peer.log, peer.doubling) = (mean(&over).unwrap_or(0.0), 0.0);
        }
        for _ in 0..ROUNDS {
            peers.round(&kept, weight);
        }
        let typical = mean(&peers.networks.iter().map(|p| p.log).collect::<Vec<f64>>());
        for peer in &mut peers.networks {
            peer.log -= typical.unwrap_or(0.0);
        }
        peers
    }

    fn round(&mut self, boards: &[&Board], weight: impl Fn(&Board) -> f64) {
        let n = self.networks.len();
        // what of a vector is a change of speed: its mean, weighted by how sure each network is
        let root = cholesky(&self.covariance);
        let sure = solve(&root, &vec![1.0; n]);
        let all: f64 = sure.iter().sum();
        let levelled = |v: &mut Vec<f64>| {
            let level = dot(v, &sure) / all;
            v.iter_mut().for_each(|x| *x -= level);
        };
        let mut scatter: Matrix = vec![vec![0.0; n]; n];
        let mut seen = Vec::with_capacity(boards.len());
        for board in boards {
            let at = board.ran();
            let (mut deviation, variance, far) = self.given(&at, board);
            levelled(&mut deviation);
            let wide = at.len() as f64;
            let weight = weight(board) * (FREEDOM + wide) / (FREEDOM + far);
            // what is not known of missing networks counts as spread
            let mut variance = variance;
            variance.iter_mut().for_each(levelled);
            let mut turned: Matrix = (0..n)
                .map(|i| variance.iter().map(|row| row[i]).collect())
                .collect();
            turned.iter_mut().for_each(levelled);
            for (sum, row) in scatter.iter_mut().zip(&turned) {
                for (s, v) in sum.iter_mut().zip(row) {
                    *s += weight * v;
                }
            }
            seen.push((weight, f64::from(board.threads).log2(), deviation));
        }
        let total: f64 = seen.iter().map(|s| s.0).sum();
        let doublings = seen.iter().map(|s| s.0 * s.1).sum::<f64>() / total;
        let varied: f64 = seen.iter().map(|s| s.0 * (s.1 - doublings).powi(2)).sum();
        for i in 0..n {
            let middle = seen.iter().map(|s| s.0 * s.2[i]).sum::<f64>() / total;
            // the slope so far is part of what the slope explains
            let slope = self.networks[i].doubling;
            let along = seen
                .iter()
                .map(|(w, x, d)| w * (x - doublings) * (d[i] - middle));
            let step = (along.sum::<f64>() - DOUBLINGS * slope) / (varied + DOUBLINGS);
            for (_, x, d) in &mut seen {
                d[i] -= middle + step * (*x - doublings);
            }
            let peer = &mut self.networks[i];
            peer.log += middle - step * doublings;
            peer.doubling += step;
        }
        let boards: f64 = boards.iter().map(|b| weight(b)).sum();
        for i in 0..n {
            for j in 0..n {
                let own: f64 = seen.iter().map(|(w, _, d)| w * d[i] * d[j]).sum();
                let spread = (scatter[i][j] + own) / total * boards;
                let prior = if i == j { PRIOR.0 * PRIOR.1 } else { 0.0 };
                self.covariance[i][j] = (spread + prior) / (boards + PRIOR.1);
            }
        }
    }

    fn expected(&self, network: usize, threads: u32) -> f64 {
        let peer = &self.networks[network];
        peer.log + peer.doubling * f64::from(threads.max(1)).log2()
    }

    /// Deviations of all networks given those measured, with speed among them; their covariance; how far off the measured
    /// are, in squared standard deviations.
    fn given(&self, at: &[usize], board: &Board) -> (Vec<f64>, Matrix, f64) {
        let n = self.networks.len();
        let level = level(board, |i| self.expected(i, board.threads));
        let off = |i: &usize| {
            board.logs[*i].map_or(0.0, |log| log - self.expected(*i, board.threads) - level)
        };
        let off: Vec<f64> = at.iter().map(off).collect();
        let root = cholesky(&part(&self.covariance, at, SPEED));
        let pulled = solve(&root, &off);
        let to =
            |i: usize| -> Vec<f64> { at.iter().map(|j| self.covariance[i][*j] + SPEED).collect() };
        let reach: Vec<Vec<f64>> = (0..n).map(to).collect();
        let deviations = reach.iter().map(|r| dot(r, &pulled)).collect();
        let gains: Vec<Vec<f64>> = reach.iter().map(|r| solve(&root, r)).collect();
        let left = |i: usize, j: usize| self.covariance[i][j] + SPEED - dot(&gains[i], &reach[j]);
        let variance = (0..n)
            .map(|i| (0..n).map(|j| left(i, j)).collect())
            .collect();
        (deviations, variance, dot(&off, &pulled))
    }

    /// What ships for the runtime of a profile; `None` where nothing does.
    pub fn shipped_for(profile: &Profile) -> Option<Self> {
        let peers = Self::parse(BUILT_IN)?;
        (peers.runtime == profile.runtime && peers.law == profile.law).then_some(peers)
    }

    /// The number of a network.
    pub fn find(&self, signature: u64) -> Option<usize> {
        self.networks.iter().position(|p| p.signature == signature)
    }

    /// Logarithm of the time of every network on a board, with its standard deviation, given what was measured there.
    pub fn predict(&self, board: &Board) -> Vec<(f64, f64)> {
        let at = board.ran();
        let (deviations, variance, _) = self.given(&at, board);
        let level = level(board, |i| self.expected(i, board.threads));
        let one = |(i, d): (usize, f64)| {
            let log = level + self.expected(i, board.threads) + d;
            (log, variance[i][i].max(0.0).sqrt())
        };
        deviations.into_iter().enumerate().map(one).collect()
    }

    /// How much farther off than their standard deviations the networks measured on a board are from each other: each is
    /// predicted from the rest. Near 1 where the board is like those fitted.
    pub fn scale(&self, board: &Board) -> f64 {
        let at = board.ran();
        let miss = |i: &usize| {
            let rest: Vec<usize> = at.iter().copied().filter(|j| j != i).collect();
            let (log, sd) = self.predict(&board.only(&rest))[*i];
            board.logs[*i].map_or(0.0, |measured| (log - measured) / sd.max(1e-6))
        };
        scale(&at.iter().map(miss).collect::<Vec<f64>>())
    }

    /// The `wanted` networks of `among` to measure on a new board, the most telling first: each is the one after which the
    /// standard deviations of all sum up to the least.
    pub fn suggest(&self, among: &[usize], wanted: usize) -> Vec<usize> {
        let mut chosen: Vec<usize> = Vec::new();
        let left = |with: &[usize]| -> f64 {
            // a measurement is off by a little itself
            let mut own = part(&self.covariance, with, SPEED);
            for (i, row) in own.iter_mut().enumerate() {
                row[i] += 0.02 * 0.02;
            }
            let root = cholesky(&own);
            let sd = |i: &usize| {
                let reach: Vec<f64> = with
                    .iter()
                    .map(|j| self.covariance[*i][*j] + SPEED)
                    .collect();
                let known = dot(&solve(&root, &reach), &reach);
                (self.covariance[*i][*i] + SPEED - known).max(0.0).sqrt()
            };
            among.iter().map(sd).sum()
        };
        while chosen.len() < wanted.min(among.len()) {
            let open = among.iter().filter(|i| !chosen.contains(i));
            let tried = open.map(|i| {
                let mut with = chosen.clone();
                with.push(*i);
                (left(&with), *i)
            });
            let Some((_, best)) = tried.min_by(|a, b| a.0.total_cmp(&b.0)) else {
                break;
            };
            chosen.push(best);
        }
        chosen
    }

    /// As a file.
    pub fn to_json(&self) -> String {
        let mut file = self.clone();
        for peer in &mut file.networks {
            (peer.log, peer.doubling) = (short(peer.log), short(peer.doubling));
        }
        for (i, row) in file.covariance.iter_mut().enumerate() {
            row.truncate(i + 1);
            row.iter_mut().for_each(|v| *v = short(*v));
        }
        // a struct of strings and numbers always serialises
        let mut text = serde_json::to_string_pretty(&file).unwrap_or_default();
        text.push('\n');
        text
    }

    /// From a file; `None` where it is none of this format.
    pub fn parse(text: &str) -> Option<Self> {
        let mut peers: Self = serde_json::from_str(text).ok()?;
        let n = peers.networks.len();
        let lower = peers
            .covariance
            .iter()
            .enumerate()
            .all(|(i, r)| r.len() == i + 1);
        if peers.format != FORMAT || peers.covariance.len() != n || !lower {
            return None;
        }
        for i in 0..n {
            for j in i + 1..n {
                let mirrored = peers.covariance[j][i];
                peers.covariance[i].push(mirrored);
            }
        }
        Some(peers)
    }
}

/// A board's speed: the middle of how far off its networks are.
fn level(board: &Board, expected: impl Fn(usize) -> f64) -> f64 {
    let logs = board.logs.iter().enumerate();
    let off: Vec<f64> = logs
        .filter_map(|(i, log)| Some((*log)? - expected(i)))
        .collect();
    median(&off).unwrap_or(0.0)
}

/// How the networks that are measured on a board come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// Drawn, several times.
    Drawn,
    /// Those of [`Peers::suggest`].
    Suggested,
}

/// A network predicted on a board whose chip the fit had not seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unseen {
    /// Board.
    pub board: usize,
    /// Part of its chip.
    pub part: usize,
    /// Network.
    pub network: usize,
    /// Logarithm of the predicted time.
    pub log: f64,
    /// Its standard deviation, as far as the networks measured bear it out.
    pub sd: f64,
    /// Logarithm of the measured time.
    pub measured: f64,
}

impl Unseen {
    /// How far off, in standard deviations.
    pub fn miss(&self) -> f64 {
        (self.log - self.measured).abs() / self.sd.max(1e-6)
    }
}

/// Chips left out part by part, so many networks of each of their boards measured, the others predicted.
pub fn chips_left_out(
    networks: &[Peer],
    boards: &[Board],
    shots: usize,
    given: Given,
) -> Vec<Unseen> {
    let draws = if given == Given::Drawn { DRAWS } else { 1 };
    let part = |out: usize| {
        let peers = Peers::fit(networks, boards, |b| part_of(boards, b) != out);
        let mut found = Vec::new();
        for (number, board) in boards.iter().enumerate() {
            if part_of(boards, board) != out {
                continue;
            }
            let ran = board.ran();
            for round in 0..draws {
                let shots = match given {
                    Given::Suggested => peers.suggest(&ran, shots),
                    Given::Drawn => {
                        let drawn = draw(
                            ran.len(),
                            shots,
                            "board shots",
                            draws * number as u64 + round,
                        );
                        drawn.into_iter().map(|i| ran[i]).collect()
                    }
                };
                let times = peers.predict(&board.only(&shots));
                let scale = peers.scale(&board.only(&shots));
                let rest = ran.iter().filter(|i| !shots.contains(i));
                found.extend(rest.filter_map(|i| {
                    Some(Unseen {
                        board: number,
                        part: out,
                        network: *i,
                        log: times[*i].0,
                        sd: scale * times[*i].1,
                        measured: board.logs[*i]?,
                    })
                }));
            }
        }
        found
    };
    (0..PARTS).into_par_iter().flat_map(part).collect()
}

/// The half width of 80 % intervals in standard deviations.
pub fn spread_of<'a>(unseen: impl Iterator<Item = &'a Unseen>) -> f64 {
    let misses: Vec<f64> = unseen.map(Unseen::miss).collect();
    interval::conformal_quantile(&misses, interval::LEVEL)
}

/// What the tables have in common, for the file; how wide intervals are comes from chips left out.
pub fn shipped(tables: &[BoardTable]) -> Peers {
    let (networks, boards) = boards_of(tables);
    let unseen = chips_left_out(&networks, &boards, SHOTS, Given::Drawn);
    Peers {
        spread: short(spread_of(unseen.iter())),
        runtime: "ncnn".to_owned(),
        law: Law::NCNN,
        provenance: ["ncnn_arm", "Tencent/ncnn benchmark page", "BSD-3-Clause"].map(str::to_owned),
        ..Peers::fit(&networks, &boards, |_| true)
    }
}

#[cfg(test)]
mod tests {
    use super::{BUILT_IN, Board, Peer, Peers};

    fn networks() -> Vec<Peer> {
        let peer = |(i, name): (u64, &str)| Peer {
            network: name.to_owned(),
            signature: i,
            log: 0.0,
            doubling: 0.0,
        };
        (0..).zip(["a", "b", "c", "d", "e"]).map(peer).collect()
    }

    /// Where a is slow b is slow by as much; threads help all but e, which stays as it is.
    fn board(i: usize, speed: f64, slow: f64, threads: u32) -> Board {
        let parallel = -0.5 * f64::from(threads).log2();
        // each a little of its own
        let own = |n: usize| 0.01 * ((7 * i + 3 * n) as f64).sin();
        let logs = [
            1.0 + slow + parallel,
            0.5 + slow + parallel,
            parallel,
            0.2 + parallel,
            -1.0,
        ];
        let logs = logs.iter().enumerate();
        Board {
            chip: format!("chip {i}"),
            threads,
            logs: logs.map(|(n, l)| Some(l + speed + own(n))).collect(),
        }
    }

    fn boards() -> Vec<Board> {
        let one = |i: usize| {
            let (x, threads) = (i as f64, 1 << (i % 3));
            board(i, (2.3 * x).sin(), 0.5 * (1.7 * x).cos(), threads)
        };
        (0..30).map(one).collect()
    }

    #[test]
    fn what_goes_together_is_told_from_one_of_both() {
        let peers = Peers::fit(&networks(), &boards(), |_| true);
        let new = board(99, 3.0, 0.6, 4);
        // a says how slow b is; c and d how fast the board is; e follows from the threads
        let found = peers.predict(&new.only(&[0, 2, 3]));
        for (i, near) in [(0, 1e-6), (1, 0.1), (4, 0.15)] {
            let miss = found[i].0 - new.logs[i].unwrap();
            assert!(miss.abs() < near, "{i}: {miss} {found:?}");
        }
        // without a there is nothing to tell b from, and it is known that there is not
        let blind = peers.predict(&new.only(&[2, 3]));
        assert!(blind[1].1 > 2.0 * found[1].1, "{blind:?} {found:?}");
        // after c or d, a or b is the most telling
        let first = peers.suggest(&[0, 1, 2, 3, 4], 2);
        assert!(first.iter().any(|i| *i < 2), "{first:?}");
    }

    /// The shots themselves say so where a board is unlike the others, and no more than usual where it is one of them.
    #[test]
    fn a_board_unlike_the_others_is_told_by_its_shots() {
        let peers = Peers::fit(&networks(), &boards(), |_| true);
        let like = board(99, 3.0, 0.6, 4);
        assert!(
            (0.3..1.6).contains(&peers.scale(&like)),
            "{}",
            peers.scale(&like)
        );
        let mut unlike = like.clone();
        // what always goes together goes apart here, by twelve times each deviation of its own
        for (log, off) in unlike.logs.iter_mut().zip([1.2, -1.2, 0.8, -0.8, 0.0]) {
            *log = log.map(|l| l + off);
        }
        assert!(peers.scale(&unlike) > 3.0, "{}", peers.scale(&unlike));
    }

    #[test]
    fn files_come_back_as_they_were_but_for_digits() {
        let peers = Peers::fit(&networks(), &boards(), |_| true);
        let read = Peers::parse(&peers.to_json()).unwrap();
        assert_eq!(read.to_json(), peers.to_json());
        assert_eq!(read.covariance.len(), 5);
        assert_eq!(read.covariance[1][3], read.covariance[3][1]);
        assert!(Peers::parse("{}").is_none());
        let shipped = Peers::parse(BUILT_IN).unwrap();
        assert!(shipped.networks.len() >= 20 && (1.0..2.0).contains(&shipped.spread));
    }
}
