//! Nets on ONNX Runtime, through the shared library of whatever release is installed: what people deploy.
//!
//! The library is loaded at run time, so a program without libtorch measures wherever there is one.

use super::host::timed;
use super::runtime::{Form, Loaded, Runtime, RuntimeError};
use super::window::Timed;
use crate::base::rng::stream;
use crate::emit::onnx::{Batch, Options, model};
use crate::ir::{Graph, Shape};
use crate::weights::{Weights, fold};
use ort::environment::Environment;
use ort::session::IoBinding;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::Tensor;
use rand_distr::{Distribution, StandardNormal};
use std::path::{Path, PathBuf};

/// The oldest release whose library is taken.
pub const OLDEST: &str = "1.24";

/// The variable that names the library where nothing else does.
pub const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";

/// How ONNX Runtime runs nets.
#[derive(Clone, Debug)]
pub struct OrtSetup {
    /// Threads of one operation, the calling one included.
    pub threads: u32,
    /// Whether waiting threads spin, as they do by default.
    pub spin: bool,
    /// Samples in the batch.
    pub batch: u32,
    /// Eager nets keep their batch norms and are run without any optimisation of the graph; the others are folded, and all
    /// optimisations are on.
    pub form: Form,
}

/// Why there is no ONNX Runtime.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OrtError {
    /// No library of that name, or not for this machine.
    #[error("cannot load ONNX Runtime from {}: {why}; --ort-lib FILE or {LIBRARY_VARIABLE} names the shared library of an installed one, such as onnxruntime/capi/libonnxruntime.so.1.31.1 of the Python package", path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// A library that is something else.
    #[error("{} is not ONNX Runtime", path.display())]
    Other {
        /// The file.
        path: PathBuf,
    },
    /// A release before [`OLDEST`].
    #[error("{} is ONNX Runtime {version}; {OLDEST} or later is needed", path.display())]
    Old {
        /// The file.
        path: PathBuf,
        /// Its release.
        version: String,
    },
    /// It loads but does not start.
    #[error("ONNX Runtime does not start: {0}")]
    Start(String),
}

/// ONNX Runtime as a runtime.
#[derive(Debug)]
pub struct OrtRuntime {
    environment: Environment,
    version: String,
    setup: OrtSetup,
}

/// The library's file name on this system.
fn default_library() -> PathBuf {
    let name = format!(
        "{}onnxruntime{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    );
    PathBuf::from(name)
}

/// A library by its file, or by a folder that has one, as the Python package's `onnxruntime` and `onnxruntime/capi` do.
fn find(path: &Path) -> PathBuf {
    let stem = format!("{}onnxruntime", std::env::consts::DLL_PREFIX);
    let is_library = |p: &PathBuf| {
        let name = p.file_name().unwrap_or_default().to_string_lossy();
        let rest = name.strip_prefix(&stem);
        rest.is_some_and(|rest| {
            rest.starts_with('.') && rest.contains(&std::env::consts::DLL_SUFFIX[1..])
        })
    };
    for folder in [path.to_owned(), path.join("capi")] {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut found: Vec<PathBuf> = entries.map(|e| e.path()).filter(is_library).collect();
        found.sort();
        if let Some(file) = found.pop() {
            return file;
        }
    }
    // the system's own search takes a bare name; any other is that of a file here
    match path.components().count() > 1 || path.exists() {
        true => std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
        false => path.to_owned(),
    }
}

impl OrtRuntime {
    /// Loads the library, which is `library`, or what [`LIBRARY_VARIABLE`] names, or the system's own.
    ///
    /// # Errors
    /// Where there is none, or it is something else or too old.
    pub fn open(library: Option<&Path>, setup: OrtSetup) -> Result<Self, OrtError> {
        let named = std::env::var_os(LIBRARY_VARIABLE).filter(|v| !v.is_empty());
        let path = library.map(Path::to_owned).or(named.map(PathBuf::from));
        let path = find(&path.unwrap_or_else(default_library));
        let builder = ort::init_from(&path).map_err(|error| match error {
            ort::LoadDynamicError::Dlopen { error, .. } => OrtError::Load {
                path: path.clone(),
                // what was tried, then what the system said
                why: std::error::Error::source(&error)
                    .map_or_else(|| error.to_string(), ToString::to_string),
            },
            ort::LoadDynamicError::BadVersion { version_str, .. } => OrtError::Old {
                path: path.clone(),
                version: version_str,
            },
            _ => OrtError::Other { path: path.clone() },
        })?;
        let environment = builder
            .with_telemetry(false)
            .build()
            .map_err(|e| OrtError::Start(e.to_string()))?;
        environment.set_log_level(ort::logging::LogLevel::Error);
        Ok(Self {
            environment,
            version: release(&path, ort::info()),
            setup,
        })
    }

    fn session(&self, bytes: &[u8]) -> ort::Result<Session> {
        let level = match self.setup.form {
            Form::Eager => GraphOptimizationLevel::Disable,
            Form::Folded | Form::Fused | Form::Frozen => GraphOptimizationLevel::All,
        };
        let threads = usize::try_from(self.setup.threads.max(1)).unwrap_or(1);
        let plain = |e: ort::Error<SessionBuilder>| ort::Error::new(e.message());
        SessionBuilder::new(&self.environment)?
            .with_intra_threads(threads)
            .map_err(plain)?
            .with_inter_threads(1)
            .map_err(plain)?
            .with_intra_op_spinning(self.setup.spin)
            .map_err(plain)?
            .with_optimization_level(level)
            .map_err(plain)?
            .commit_from_memory(bytes)
    }

    /// Inputs and outputs have their memory before the first run.
    fn bind(&self, session: &Session, graph: &Graph) -> ort::Result<IoBinding> {
        let mut binding = session.create_binding()?;
        let axes = |shape: Shape| -> Vec<i64> {
            let batch = i64::from(self.setup.batch);
            match shape {
                Shape::Map { c, h, w } => vec![batch, c.into(), h.into(), w.into()],
                Shape::Flat { n } => vec![batch, n.into()],
            }
        };
        let elems = |shape: Shape| shape.elems() * u64::from(self.setup.batch);
        let inputs = graph.input_shapes().into_iter();
        for ((number, shape), outlet) in (0u64..).zip(inputs).zip(session.inputs()) {
            let mut rng = stream(0, "measure input", number);
            let values: Vec<f32> = (0..elems(shape))
                .map(|_| StandardNormal.sample(&mut rng))
                .collect();
            binding.bind_input(outlet.name(), &Tensor::from_array((axes(shape), values))?)?;
        }
        for (id, outlet) in graph.outputs().iter().zip(session.outputs()) {
            let shape = graph.shape(*id);
            let place = Tensor::<f32>::new(session.allocator(), axes(shape))?;
            binding.bind_output(outlet.name(), place)?;
        }
        Ok(binding)
    }
}

/// The release, which a library's name ends in; one without is known by the description of its build.
fn release(path: &Path, info: &str) -> String {
    let file = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let parts = name.split('.').filter(|p| p.parse::<u32>().is_ok());
    let parts: Vec<&str> = parts.collect();
    match parts.len() {
        0 => info.trim_start_matches("ORT Build Info:").trim().to_owned(),
        _ => parts.join("."),
    }
}

impl Runtime for OrtRuntime {
    fn name(&self) -> &'static str {
        "onnxruntime"
    }

    fn version(&self) -> String {
        self.version.clone()
    }

    fn load(&mut self, graph: &Graph) -> Result<Box<dyn Loaded>, RuntimeError> {
        let weights = Weights::initial(graph, 0).map_err(RuntimeError::new)?;
        let options = Options {
            batch: Batch::Fixed(self.setup.batch),
            ..Options::default()
        };
        let bytes = match self.setup.form {
            Form::Eager => model(graph, &weights, &options).and_then(|m| m.to_bytes()),
            Form::Folded | Form::Fused | Form::Frozen => {
                let folded = fold(graph);
                let weights = folded.weights(&weights);
                model(&folded.graph, &weights, &options).and_then(|m| m.to_bytes())
            }
        };
        drop(weights);
        let bytes = bytes.map_err(RuntimeError::new)?;
        let session = self.session(&bytes).map_err(said)?;
        let binding = self.bind(&session, graph).map_err(said)?;
        let alone = self.setup.threads <= 1;
        Ok(Box::new(Ready {
            session,
            binding,
            alone,
        }))
    }
}

/// The first line of what the runtime says; the rest are places in its source.
fn said(error: ort::Error) -> RuntimeError {
    let text = error.to_string();
    RuntimeError::new(text.lines().next().unwrap_or_default().to_owned())
}

struct Ready {
    session: Session,
    binding: IoBinding,
    /// Whether it has one thread.
    alone: bool,
}

impl Loaded for Ready {
    fn run(&mut self) -> Result<Timed, RuntimeError> {
        let (session, binding) = (&mut self.session, &self.binding);
        let (outputs, timed) = timed(self.alone, || session.run_binding(binding).map(drop));
        outputs.map_err(said)?;
        Ok(timed)
    }
}

#[cfg(test)]
mod tests {
    use super::{find, release};
    use std::path::Path;

    #[test]
    fn releases_are_read_off_the_name() {
        let info = "ORT Build Info: git-branch=HEAD";
        let of = |name: &str| release(Path::new(name), info);
        assert_eq!(of("capi/libonnxruntime.so.1.31.1"), "1.31.1");
        assert_eq!(of("libonnxruntime.1.24.0.dylib"), "1.24.0");
        assert_eq!(of("onnxruntime.dll"), "git-branch=HEAD");
    }

    #[test]
    fn a_folder_stands_for_the_library_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let capi = folder.path().join("capi");
        std::fs::create_dir(&capi).unwrap();
        let name = format!(
            "{}onnxruntime{}",
            std::env::consts::DLL_PREFIX,
            std::env::consts::DLL_SUFFIX
        );
        std::fs::write(capi.join(&name), "").unwrap();
        std::fs::write(
            capi.join(name.replace("onnxruntime", "onnxruntime_providers_shared")),
            "",
        )
        .unwrap();
        assert_eq!(find(folder.path()), capi.join(&name));
        assert_eq!(find(&capi), capi.join(&name));
        // the system looks for a bare name
        assert_eq!(find(Path::new("libnowhere.so")), Path::new("libnowhere.so"));
    }
}
