//! Tables as files.

use blocksmith::base::table::Table;

fn example() -> Table {
    let mut table = Table::new("example");
    table
        .push("n", vec![Some(1_i64), None, Some(i64::MIN)])
        .unwrap();
    let reals = vec![Some(0.1), Some(f64::MAX), None];
    table.push("latency_s@pi5", reals).unwrap();
    table
        .push("flag", vec![None, Some(true), Some(false)])
        .unwrap();
    let words = vec![Some(String::new()), None, Some("ä,\"b\"\n".into())];
    table.push("net[3].layers", words).unwrap();
    table
}

#[test]
fn csv_reads_back_by_hand() {
    let mut text = Vec::new();
    example().write_csv(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let first: Vec<&str> = text.lines().take(3).collect();
    assert_eq!(first[0], "n,latency_s@pi5,flag,net[3].layers");
    assert_eq!(first[1], "1,0.1,,\"\"");
    let (n, rest) = first[2].split_once(',').unwrap();
    let (x, rest) = rest.split_once(',').unwrap();
    assert_eq!((n, x.parse(), rest), ("", Ok(f64::MAX), "true,"));
}

#[cfg(feature = "analysis")]
mod parquet {
    use super::example;
    use blocksmith::analysis::parquet::{read, write};
    use blocksmith::base::table::Table;
    use std::path::{Path, PathBuf};

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|n| folder.path().join(n));
        write(&example(), &a).unwrap();
        write(&example(), &b).unwrap();
        assert_eq!(std::fs::read(&a).unwrap(), std::fs::read(&b).unwrap());
        let back = read(&a).unwrap();
        assert_eq!(back.name(), a.display().to_string());
        assert!(back.columns().eq(example().columns()));
    }

    #[test]
    fn tables_without_rows_or_columns_survive() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.parquet");
        for table in [Table::new("none"), example().take(&[])] {
            write(&table, &path).unwrap();
            assert!(read(&path).unwrap().columns().eq(table.columns()));
        }
    }

    #[test]
    fn damage_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.parquet");
        write(&example(), &path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for cut in [0, 3, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains("t.parquet"), "{error}");
        }
        let error = read(Path::new("nowhere/x.parquet")).unwrap_err();
        assert!(error.to_string().contains("nowhere/x.parquet"), "{error}");
        let error = write(&example(), Path::new("nowhere/x.parquet")).unwrap_err();
        assert!(error.to_string().contains("nowhere/x.parquet"), "{error}");
    }

    /// Row counts as the measurements' own README states them.
    #[test]
    fn public_measurements_are_read() {
        let shared = std::env::var_os("BLOCKSMITH_SHARED").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
            PathBuf::from,
        );
        let folder = shared.join("measurements");
        if !folder.is_dir() {
            println!("skipped: no measurements at {}", folder.display());
            return;
        }
        for (file, rows) in [
            ("nasbench201_archs", 15_625),
            ("nasbench201_pi5", 22_759),
            ("help_archs", 10_000),
            ("help_latency", 147_070),
            ("ncnn_arm", 5_994),
            ("ncnn_graphs", 3_399),
            ("timm_gpu", 18_363),
            ("timm_graphs", 266_286),
            ("published_latency_energy", 231),
        ] {
            let table = read(&folder.join(format!("{file}.parquet"))).unwrap();
            assert_eq!(table.rows(), rows, "{file}");
            println!("{file}");
            for (name, column) in table.columns() {
                println!("  {name}: {}", column.kind());
            }
        }
    }
}
