//! Stages of the way from a document to a prediction. An item is one network, so items/s are networks per second on
//! one core. Run with `cargo bench --no-default-features`; a filter follows `--`.
#![allow(clippy::unwrap_used, missing_docs)]

mod candidates;
mod devices;
mod nets;

mod cost {
    use crate::nets;
    use blocksmith::cost::{Counts, Scratch, Totals};
    use divan::counter::ItemsCount;
    use divan::{Bencher, black_box};

    /// All totals of MobileNetV2 (153 nodes), as a search counts them.
    #[divan::bench]
    fn totals(bencher: Bencher) {
        let graph = nets::mobilenet_v2(false);
        let mut scratch = Scratch::default();
        bencher
            .counter(ItemsCount::new(1usize))
            .bench_local(|| Totals::of(black_box(&graph), &mut scratch).unwrap());
    }

    /// The same with a row a node, as tables show it.
    #[divan::bench]
    fn counts(bencher: Bencher) {
        let graph = nets::mobilenet_v2(true);
        bencher
            .counter(ItemsCount::new(1usize))
            .bench_local(|| Counts::of(black_box(&graph)).unwrap());
    }
}

mod graph {
    use crate::nets;
    use divan::counter::ItemsCount;
    use divan::{Bencher, black_box};

    /// Pushing the 153 nodes of MobileNetV2, shapes inferred.
    #[divan::bench]
    fn build(bencher: Bencher) {
        bencher
            .counter(ItemsCount::new(1usize))
            .bench_local(|| nets::mobilenet_v2(black_box(false)));
    }

    /// The identity of MobileNetV2.
    #[divan::bench]
    fn fingerprint(bencher: Bencher) {
        let graph = nets::mobilenet_v2(false);
        bencher
            .counter(ItemsCount::new(1usize))
            .bench_local(|| black_box(&graph).fingerprint());
    }
}

mod blocks {
    use blocksmith::base::rng;
    use blocksmith::blocks::{self, Names, Program, Scratch};
    use blocksmith::space::{Assignment, Space};
    use divan::Bencher;
    use divan::counter::ItemsCount;

    const MIXED: &str = include_str!("../search_spaces/mixed_stages.json");
    const DRAWS: usize = 200;

    fn draws(text: &str) -> (Space, Program, Vec<Assignment>) {
        let (space, program) = blocks::load(text).unwrap();
        let mut rng = rng::stream(1, "bench", 0);
        let draws = (0..DRAWS)
            .map(|_| space.sample(&mut rng).unwrap())
            .collect();
        (space, program, draws)
    }

    /// The way from the text of the mixed space to what lowers.
    #[divan::bench]
    fn load(bencher: Bencher) {
        bencher
            .counter(ItemsCount::new(1usize))
            .bench_local(|| blocks::load(MIXED).unwrap());
    }

    /// Networks of the mixed space (217 nodes in the mean), as a search lowers them.
    #[divan::bench]
    fn lower(bencher: Bencher) {
        let (_, program, draws) = draws(MIXED);
        let mut scratch = Scratch::default();
        bencher.counter(ItemsCount::new(DRAWS)).bench_local(|| {
            draws
                .iter()
                .map(|a| {
                    program
                        .lower_into(&mut scratch, a, Names::Off)
                        .unwrap()
                        .nodes()
                        .len()
                })
                .sum::<usize>()
        });
    }

    /// The same with names, as files are written.
    #[divan::bench]
    fn lower_named(bencher: Bencher) {
        let (_, program, draws) = draws(MIXED);
        let mut scratch = Scratch::default();
        bencher.counter(ItemsCount::new(DRAWS)).bench_local(|| {
            draws
                .iter()
                .map(|a| {
                    program
                        .lower_into(&mut scratch, a, Names::On)
                        .unwrap()
                        .nodes()
                        .len()
                })
                .sum::<usize>()
        });
    }

    /// Cells of NAS-Bench-201, all in one declared block.
    #[divan::bench]
    fn lower_nasbench201(bencher: Bencher) {
        let (_, program, draws) = draws(include_str!("../search_spaces/nasbench201.json"));
        let mut scratch = Scratch::default();
        bencher.counter(ItemsCount::new(DRAWS)).bench_local(|| {
            draws
                .iter()
                .map(|a| {
                    program
                        .lower_into(&mut scratch, a, Names::Off)
                        .unwrap()
                        .nodes()
                        .len()
                })
                .sum::<usize>()
        });
    }
}

fn main() {
    divan::main();
}
