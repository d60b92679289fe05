//! Links the program to the libtorch that it was built against, so that no `LD_LIBRARY_PATH` is needed.
//!
//! torch-sys publishes the library folder as `DEP_TCH_LIBTORCH_LIB`. The PyPI wheels that `scripts/bootstrap`
//! unpacks keep their relative layout (`torch/lib` beside `nvidia/cu13/lib`), and the libraries find each other by
//! their own `$ORIGIN`; only our own programs need an rpath.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") else {
        return; // built without the `torch` feature
    };
    let lib = Path::new(&lib);
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
    if let Some(root) = lib.parent().and_then(Path::parent) {
        // written by scripts/bootstrap: another kind of libtorch in the same place means linking again
        let stamp = root.join("stamp.json");
        if stamp.is_file() {
            println!("cargo:rerun-if-changed={}", stamp.display());
        }
        let nvidia = root.join("nvidia/cu13/lib");
        if nvidia.is_dir() {
            println!("cargo:rustc-link-arg=-Wl,-rpath,{}", nvidia.display());
        }
    }
    // A linker that drops unused libraries would drop the CUDA half, and CUDA would then never be found.
    if lib.join("libtorch_cuda.so").is_file() {
        println!("cargo:rustc-link-arg=-Wl,--no-as-needed");
        println!("cargo:rustc-link-arg=-L{}", lib.display());
        println!("cargo:rustc-link-arg=-ltorch_cuda");
    }
}
