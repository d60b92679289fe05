//! The head of a safetensors file: names, kinds and shapes of its tensors, and where their numbers are.

use crate::ir::params::Role;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The most bytes of a header. A thousand tensors take some 100 kB.
const MAX_HEADER: u64 = 32 << 20;

/// The most axes of a tensor.
const MAX_AXES: usize = 16;

/// The kinds of numbers that safetensors knows and we do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dtype {
    /// Double precision.
    F64,
    /// Single precision.
    F32,
    /// Half precision.
    F16,
    /// Half precision with the range of single.
    Bf16,
    /// Whole numbers.
    I64,
    /// Whole numbers.
    I32,
    /// Other integers and truths, of so many bytes: never weights.
    Other(u8),
    /// A kind of a later version, of unknown size.
    Unknown,
}

impl Dtype {
    fn of(text: &str) -> Self {
        match text {
            "F64" => Self::F64,
            "F32" => Self::F32,
            "F16" => Self::F16,
            "BF16" => Self::Bf16,
            "I64" => Self::I64,
            "I32" => Self::I32,
            "U64" => Self::Other(8),
            "U32" => Self::Other(4),
            "I16" | "U16" => Self::Other(2),
            "I8" | "U8" | "BOOL" => Self::Other(1),
            _ => Self::Unknown,
        }
    }

    /// Bytes of one number, where known.
    pub fn bytes(self) -> Option<u64> {
        match self {
            Self::F64 | Self::I64 => Some(8),
            Self::F32 | Self::I32 => Some(4),
            Self::F16 | Self::Bf16 => Some(2),
            Self::Other(bytes) => Some(u64::from(bytes)),
            Self::Unknown => None,
        }
    }

    /// Whether such numbers can be the values of a parameter; half and double precision are converted.
    pub fn holds(self, role: Role) -> bool {
        match role {
            Role::Index => matches!(self, Self::I64 | Self::I32),
            _ => matches!(self, Self::F64 | Self::F32 | Self::F16 | Self::Bf16),
        }
    }
}

/// One tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Kind of its numbers.
    pub dtype: Dtype,
    /// The same as the file spells it.
    pub dtype_name: Box<str>,
    /// Its shape, outermost axis first.
    pub shape: Vec<u64>,
    /// Where its numbers begin in the file.
    pub begin: u64,
}

/// The tensors of a file by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header(BTreeMap<String, Info>);

/// A file that has no sound header, and why.
#[derive(Debug)]
pub struct HeaderError {
    path: PathBuf,
    kind: HeaderErrorKind,
}

/// The kinds of [`HeaderError`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderErrorKind {
    /// It is not there, or may not be read.
    #[error("{0}")]
    Open(std::io::Error),
    /// Reading failed.
    #[error("{0}")]
    Io(std::io::Error),
    /// Too short to be one.
    #[error("{0} bytes are no safetensors file")]
    Short(u64),
    /// The length of the header cannot be.
    #[error(
        "its header says it has {says} bytes; the file has {left} and at most {MAX_HEADER} are read: cut short, or no safetensors file"
    )]
    Length {
        /// What the file says.
        says: u64,
        /// What is there.
        left: u64,
    },
    /// The header is no JSON of the right form.
    #[error("its header is damaged: {0}")]
    Json(String),
    /// A tensor that cannot be.
    #[error("its header is damaged: {name:?} {why}")]
    Tensor {
        /// Its name.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// The numbers do not fill the rest of the file.
    #[error("its tensors end at byte {says} and its data at byte {left}: {}", if says > left { "cut short" } else { "something follows them" })]
    Data {
        /// Where the last tensor ends.
        says: u64,
        /// What is there.
        left: u64,
    },
}

impl HeaderError {
    /// Why.
    pub fn kind(&self) -> &HeaderErrorKind {
        &self.kind
    }

    /// True where the file system is to blame, not the file.
    pub fn is_system(&self) -> bool {
        matches!(self.kind, HeaderErrorKind::Open(_) | HeaderErrorKind::Io(_))
    }
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let doing = match self.kind {
            HeaderErrorKind::Open(_) => "open",
            _ => "read",
        };
        write!(f, "cannot {doing} {}: {}", self.path.display(), self.kind)
    }
}

impl std::error::Error for HeaderError {}

impl Header {
    /// Reads the header of a file.
    ///
    /// # Errors
    /// Where the file cannot be read, or its header contradicts itself or the file's size.
    pub fn read(path: &Path) -> Result<Self, HeaderError> {
        read(path).map_err(|kind| HeaderError {
            path: path.to_owned(),
            kind,
        })
    }

    /// The tensor of that name.
    pub fn get(&self, name: &str) -> Option<&Info> {
        self.0.get(name)
    }

    /// All tensors, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Info)> {
        self.0.iter().map(|(name, info)| (name.as_str(), info))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn read(path: &Path) -> Result<Header, HeaderErrorKind> {
    use HeaderErrorKind as K;
    let mut file = std::fs::File::open(path).map_err(K::Open)?;
    let meta = file.metadata().map_err(K::Io)?;
    if !meta.is_file() {
        // a folder, or a pipe that may never end
        return Err(K::Open(std::io::Error::other("not a regular file")));
    }
    let size = meta.len();
    let Some(left) = size.checked_sub(8) else {
        return Err(K::Short(size));
    };
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(K::Io)?;
    let says = u64::from_le_bytes(length);
    if says > left.min(MAX_HEADER) {
        return Err(K::Length { says, left });
    }
    let mut text = Vec::new();
    file.take(says).read_to_end(&mut text).map_err(K::Io)?;
    let Entries(entries) = serde_json::from_slice(&text).map_err(|e| K::Json(e.to_string()))?;
    sound(entries, 8 + says, left - says)
}

/// One entry as it stands there.
#[derive(serde::Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

struct Entries(Vec<(String, Entry)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Entries;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        entries.push((name, map.next_value()?));
                    }
                }
                Ok(Entries(entries))
            }
        }
        from.deserialize_map(Members)
    }
}

/// Every tensor has the bytes that its shape needs, and together they fill the data, which begin at `start`, without gap
/// or overlap.
fn sound(
    mut entries: Vec<(String, Entry)>,
    start: u64,
    data: u64,
) -> Result<Header, HeaderErrorKind> {
    entries.sort_by_key(|(_, e)| e.data_offsets);
    let mut tensors = BTreeMap::new();
    let mut end = 0;
    for (name, entry) in entries {
        let [from, to] = entry.data_offsets;
        let dtype = Dtype::of(&entry.dtype);
        let elems = (entry.shape.iter()).try_fold(1u64, |n, d| n.checked_mul(*d));
        let needs = elems.and_then(|n| dtype.bytes().map(|b| n.checked_mul(b)));
        let why = if entry.shape.len() > MAX_AXES {
            Some(format!("has {} axes", entry.shape.len()))
        } else if elems.is_none() || needs == Some(None) {
            Some(format!("has a shape beyond counting, {:?}", entry.shape))
        } else if from != end || to < from {
            Some(format!(
                "stands at bytes {from} to {to}, expected from {end}"
            ))
        } else {
            let off = needs.flatten().filter(|n| *n != to - from);
            off.map(|needs| format!("has {} bytes, its shape needs {needs}", to - from))
        };
        if let Some(why) = why {
            return Err(HeaderErrorKind::Tensor { name, why });
        }
        end = to;
        let info = Info {
            dtype,
            dtype_name: entry.dtype.into(),
            shape: entry.shape,
            begin: start.saturating_add(from),
        };
        if tensors.insert(name.clone(), info).is_some() {
            let why = "stands twice".to_owned();
            return Err(HeaderErrorKind::Tensor { name, why });
        }
    }
    if end != data {
        return Err(HeaderErrorKind::Data {
            says: end,
            left: data,
        });
    }
    Ok(Header(tensors))
}
