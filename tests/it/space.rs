//! Documents: read, drawn, bound, printed.

use blocksmith::base::rng::stream;
use blocksmith::space::{Arch, Space};

const MIXED: &str = include_str!("../../search_spaces/mixed_stages.json");
const LITE: &str = include_str!("../../search_spaces/lite_osa.json");

fn space(text: &str) -> Space {
    Space::parse(text).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn smoke() {
    let lite = space(LITE);
    println!("{:?}", lite.size());
    assert_eq!(lite.assignments().count(), 36);
    let mixed = space(MIXED);
    println!("{:?}", mixed.size());
    for d in mixed.decisions() {
        println!("{} {:?}", d.id(), d.count());
    }
    let a = mixed.sample(&mut stream(1, "t", 0)).unwrap();
    println!("{}", mixed.assignment_to_json(&a));
    let arch = mixed.bind(&a).unwrap();
    println!("{arch}");
    assert_eq!(
        Arch::parse(&arch.to_text()).unwrap().fingerprint(),
        arch.fingerprint()
    );
}
