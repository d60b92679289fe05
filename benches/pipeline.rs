//! Stages of the way from a document to a prediction. An item is one network, so items/s are networks per second on
//! one core. Run with `cargo bench --no-default-features`; a filter follows `--`.
#![allow(clippy::unwrap_used, missing_docs)]

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

fn main() {
    divan::main();
}
