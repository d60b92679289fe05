//! Operator tables as kernels: a row an operator, with shapes, as traced from a model or read from a network file.
//!
//! The rows are what the runtime runs, so nothing is fused here. Names of ncnn's layers, of ATen's operators and of this
//! program's ops are understood; what no kind of kernel describes is called `other`.
//!
//! Invariant: no cell is guessed, and what two cells say of one thing agrees. Where work, or the shape of a convolution, is
//! missing or cannot be, the network is refused, and with it the table where all of it is asked for.

mod names;

use super::error::CalibrateError;
use crate::base::diag::nearest;
use crate::base::table::{Table, TableError};
use crate::fuse::{Kernel, KernelKind, Window};
use crate::ir::Shape;
use names::{As, Operators};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Counts from here on are refused: batches of such would not fit what they are added up in.
const TOO_MANY: u64 = 100_000_000_000_000;

/// Networks of operator tables by name.
pub type Kernels = BTreeMap<String, Arc<[Kernel]>>;

/// What is wrong with networks of an operator table, by name.
pub type Faults = BTreeMap<String, TableError>;

/// Networks of an operator table by name; where the table has `img_size`, by `name@size`.
///
/// Needs columns `network` (or `model`), `op`, `macs`, `weights` (or `w`), `cin, hin, win, cout, hout, wout, in_elems,
/// out_elems, groups` and the window: `kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w` (or `kh, kw, sh, sw,
/// dh, dw`). Windows and groups are read for convolutions, MACs and weights for convolutions and linear layers; heights and
/// widths may be missing where there is no map.
///
/// # Errors
/// Where a column is not there or holds another type; where a cell is missing, cannot be, or names no operator.
pub fn networks(table: &Table) -> Result<Kernels, CalibrateError> {
    read(table, &mut |_, fault| Err(fault))
}

/// As [`networks`], but what is wrong with the operators of one network is told of that network alone: those that can be used,
/// and the first fault of each that cannot.
///
/// # Errors
/// Where a column is not there or holds another type, or a row does not say which network it is of.
pub fn sound_networks(table: &Table) -> Result<(Kernels, Faults), CalibrateError> {
    let mut faults = Faults::new();
    let sound = read(table, &mut |name, fault| {
        faults.insert(name.to_owned(), fault);
        Ok(())
    })?;
    Ok((sound, faults))
}

/// Networks by name. A network that cannot be used goes to `faulty` with its first fault, and is left out where that lets it.
fn read(
    table: &Table,
    faulty: &mut dyn FnMut(&str, TableError) -> Result<(), TableError>,
) -> Result<Kernels, CalibrateError> {
    let known = Operators::new();
    let names = table.all_texts(either(table, "network", "model"))?;
    let ops = table.texts("op")?;
    let sizes = match table.get("img_size") {
        Some(_) => Some(Numbers::of(table, "img_size")?),
        None => None,
    };
    let pools = match table.get("pool_type") {
        Some(_) => Some(table.texts("pool_type")?),
        None => None,
    };
    let numbers = |long, short| Numbers::of(table, either(table, long, short));
    let columns = Columns {
        window: [
            numbers("kernel_h", "kh")?,
            numbers("kernel_w", "kw")?,
            numbers("stride_h", "sh")?,
            numbers("stride_w", "sw")?,
            numbers("dilation_h", "dh")?,
            numbers("dilation_w", "dw")?,
            numbers("groups", "groups")?,
        ],
        input: [
            numbers("cin", "cin")?,
            numbers("hin", "hin")?,
            numbers("win", "win")?,
        ],
        output: [
            numbers("cout", "cout")?,
            numbers("hout", "hout")?,
            numbers("wout", "wout")?,
        ],
        macs: numbers("macs", "macs")?,
        weights: numbers("weights", "w")?,
        read: numbers("in_elems", "in_elems")?,
        written: numbers("out_elems", "out_elems")?,
    };
    // nothing of those that cannot be used
    let mut networks: BTreeMap<String, Option<Vec<Kernel>>> = BTreeMap::new();
    for (row, (&name, op)) in names.iter().zip(ops).enumerate() {
        let full = match &sizes {
            Some(sizes) => Cow::Owned(format!("{name}@{}", sizes.at(row)?)),
            None => Cow::Borrowed(name),
        };
        if !networks.contains_key(full.as_ref()) {
            networks.insert(full.clone().into_owned(), Some(Vec::new()));
        }
        let Some(network) = networks.get_mut(full.as_ref()) else {
            continue;
        };
        let Some(kernels) = network else {
            continue;
        };
        let next = names.get(row + 1).zip(ops.get(row + 1));
        let next = next.filter(|(n, _)| **n == name);
        let next = next.and_then(|(_, op)| known.taken(op.as_deref()?));
        let pool = pools.and_then(|p| p.get(row)).and_then(Option::as_deref);
        let taken = match op {
            Some(op) => known.taken(op).ok_or_else(|| unknown(table, row, op)),
            None => Err(table.wrong("op", row, "nothing", "the name of an operator")),
        };
        let kernel = taken.and_then(|taken| {
            let Some(mut kernel) = columns.kernel(row, taken, pool)? else {
                return Ok(None);
            };
            if kernel.kind == KernelKind::Norm && next == Some(As::Conv) {
                columns.norm_of_weights(&mut kernel, row + 1)?;
            }
            Ok(Some(kernel))
        });
        match kernel {
            Ok(kernel) => kernels.extend(kernel),
            Err(fault) => {
                faulty(&full, fault)?;
                *network = None;
            }
        }
    }
    let shared = networks
        .into_iter()
        .filter_map(|(name, kernels)| Some((name, Arc::from(kernels?))));
    Ok(shared.collect())
}

/// Operators that a table calls by ATen's names and that have none here: their rows count as `other`. Each once, in order.
///
/// # Errors
/// Where there is no column `op`, or it holds no text.
pub fn strange(table: &Table) -> Result<BTreeSet<String>, TableError> {
    let known = Operators::new();
    let ops = table.texts("op")?.iter().flatten();
    Ok(ops.filter(|op| known.is_strange(op)).cloned().collect())
}

/// The first name where there is such a column, else the second.
fn either(table: &Table, long: &'static str, short: &'static str) -> &'static str {
    if table.get(long).is_some() || table.get(short).is_none() {
        long
    } else {
        short
    }
}

fn unknown(table: &Table, row: usize, op: &str) -> TableError {
    let near = nearest(op, Operators::names());
    let hint = near.map_or(String::new(), |near| format!(" (did you mean \"{near}\"?)"));
    let expected =
        format!("an operator of ATen, of ncnn or of `blocksmith blocks`, or \"other\"{hint}");
    table.wrong("op", row, &format!("\"{op}\""), &expected)
}

/// A column of counts.
struct Numbers<'a> {
    table: &'a Table,
    name: &'static str,
    cells: Cow<'a, [Option<i64>]>,
}

impl<'a> Numbers<'a> {
    fn of(table: &'a Table, name: &'static str) -> Result<Self, TableError> {
        let cells = table.wholes(name)?;
        Ok(Self { table, name, cells })
    }

    fn wrong(&self, row: usize, got: &str, expected: &str) -> TableError {
        self.table.wrong(self.name, row, got, expected)
    }

    /// The number, where there is one.
    fn get(&self, row: usize) -> Result<Option<u64>, TableError> {
        match self.cells.get(row).copied().flatten() {
            None => Ok(None),
            Some(x) => match u64::try_from(x) {
                Ok(x) if x < TOO_MANY => Ok(Some(x)),
                Ok(_) => Err(self.wrong(row, &x.to_string(), "less than 10^14")),
                Err(_) => Err(self.wrong(row, &x.to_string(), "0 or more")),
            },
        }
    }

    /// The number, which has to be there.
    fn at(&self, row: usize) -> Result<u64, TableError> {
        let missing = || self.wrong(row, "nothing", "a number");
        self.get(row)?.ok_or_else(missing)
    }

    /// A length: at least 1.
    fn length(&self, row: usize) -> Result<u32, TableError> {
        let x = self.at(row)?;
        let length = u32::try_from(x).ok().filter(|&x| x > 0);
        length.ok_or_else(|| self.wrong(row, &x.to_string(), "1 or more, below 2^32"))
    }

    /// A length where there is one, else 1.
    fn length_or_one(&self, row: usize) -> Result<u32, TableError> {
        match self.get(row)? {
            None | Some(0) => Ok(1),
            Some(_) => self.length(row),
        }
    }
}

struct Columns<'a> {
    window: [Numbers<'a>; 7],
    input: [Numbers<'a>; 3],
    output: [Numbers<'a>; 3],
    macs: Numbers<'a>,
    weights: Numbers<'a>,
    read: Numbers<'a>,
    written: Numbers<'a>,
}

impl Columns<'_> {
    /// A norm right before a convolution, of as many elements as that has weights, one row of them a channel, normalises the
    /// weights: once a run, whatever the batch.
    fn norm_of_weights(&self, norm: &mut Kernel, conv: usize) -> Result<(), TableError> {
        let elems = norm.elems_out;
        let flat = norm.output.hw().1 == 1;
        if flat && self.weights.get(conv)? == Some(elems) {
            (norm.elems_in, norm.elems_out, norm.weights) = (0, 0, elems);
        }
        Ok(())
    }

    /// The kernel of a row; `None` where it costs nothing.
    fn kernel(
        &self,
        row: usize,
        taken: As,
        pool: Option<&str>,
    ) -> Result<Option<Kernel>, TableError> {
        let conv = matches!(taken, As::Conv | As::Deconv);
        if taken == As::Free {
            return Ok(None);
        }
        let [mut input, mut output] = [[1u32; 3]; 2];
        let [mut kh, mut kw, mut sh, mut sw, mut dh, mut dw, mut groups] = [1u32; 7];
        for (lengths, columns) in [(&mut input, &self.input), (&mut output, &self.output)] {
            for (length, column) in lengths.iter_mut().zip(columns) {
                *length = if conv {
                    column.length(row)?
                } else {
                    column.length_or_one(row)?
                };
            }
        }
        let cells = [
            &mut kh,
            &mut kw,
            &mut sh,
            &mut sw,
            &mut dh,
            &mut dw,
            &mut groups,
        ];
        for (cell, column) in cells.into_iter().zip(&self.window) {
            *cell = if conv {
                column.length(row)?
            } else {
                column.length_or_one(row)?
            };
        }
        let window = Window {
            kernel_size: [kh, kw],
            stride: [sh, sw],
            dilation: [dh, dw],
            groups,
        };
        let (read, written) = (self.read.at(row)?, self.written.at(row)?);
        let multiplies = conv || taken == As::Kind(KernelKind::Linear);
        let (macs, weights) = if multiplies {
            (self.macs.at(row)?, self.weights.at(row)?)
        } else {
            let or_none = |column: &Numbers| Ok::<_, TableError>(column.get(row)?.unwrap_or(0));
            (or_none(&self.macs)?, or_none(&self.weights)?)
        };
        let counts = Counts {
            macs,
            weights,
            read,
            written,
        };
        if taken != As::Boxes {
            self.elements(row, [input, output], &counts)?;
        }
        if conv {
            self.convolution(row, taken == As::Deconv, [input, output], &window, &counts)?;
        } else if multiplies {
            self.product(row, &counts)?;
        }
        let to_one = output[1..] == [1, 1] && input[1..] != [1, 1];
        let kind = match taken {
            As::Conv => KernelKind::of_conv(&window, input[0], output[0]),
            As::Deconv => KernelKind::DepthwiseOther,
            As::Pool if to_one => KernelKind::GlobalPool,
            As::Pool if pool == Some("avg") => KernelKind::AvgPool,
            As::Pool => KernelKind::MaxPool,
            As::Binary if read < 2 * written => KernelKind::Mul,
            As::Binary => KernelKind::Add,
            As::Adaptive if to_one => KernelKind::GlobalPool,
            As::Adaptive => KernelKind::AvgPool,
            As::Boxes => KernelKind::Other,
            As::Kind(kind) => kind,
            As::Free => return Ok(None),
        };
        let map = |[c, h, w]: [u32; 3]| Shape::Map { c, h, w };
        Ok(Some(Kernel {
            kind,
            input: map(input),
            output: map(output),
            window,
            macs,
            elems_in: match taken {
                _ if matches!(kind, KernelKind::Concat | KernelKind::Copy) => written,
                // made from shapes alone
                As::Boxes => 0,
                _ => read,
            },
            elems_out: written,
            weights,
            act: None,
            fused_norm: false,
            fused_add: false,
        }))
    }
}

/// What a row counts.
struct Counts {
    macs: u64,
    weights: u64,
    read: u64,
    written: u64,
}

/// A volume that no cell makes too large for comparing.
fn volume(shape: [u32; 3]) -> u128 {
    shape.iter().map(|&x| u128::from(x)).product()
}

/// What cells say of one another.
impl Columns<'_> {
    /// No operator reads less than its first input, or writes less than its first output.
    fn elements(
        &self,
        row: usize,
        [input, output]: [[u32; 3]; 2],
        counts: &Counts,
    ) -> Result<(), TableError> {
        let both = [
            (&self.read, counts.read, input),
            (&self.written, counts.written, output),
        ];
        for (column, elems, shape) in both {
            let least = volume(shape);
            if u128::from(elems) < least {
                let [c, h, w] = shape;
                let expected = format!("{least} or more, as its shape is {c} x {h} x {w}");
                return Err(column.wrong(row, &elems.to_string(), &expected));
            }
        }
        Ok(())
    }

    /// The shape and window of a convolution say how many elements, weights and multiply-adds it has. A convolution along a
    /// line has one side of its window, and one over a third axis has more of everything than its shape here says.
    fn convolution(
        &self,
        row: usize,
        enlarges: bool,
        [input, output]: [[u32; 3]; 2],
        window: &Window,
        counts: &Counts,
    ) -> Result<(), TableError> {
        let groups = window.groups;
        let [.., group_column] = &self.window;
        for (column, width) in [(&self.input[0], input[0]), (&self.output[0], output[0])] {
            if !width.is_multiple_of(groups) {
                let expected = format!("a divisor of {}, which is {width}", column.name);
                return Err(group_column.wrong(row, &groups.to_string(), &expected));
            }
        }
        let pairs = u128::from(output[0]) * u128::from(input[0] / groups);
        let [kh, kw] = window.kernel_size.map(u128::from);
        let (read, written) = (u128::from(counts.read), u128::from(counts.written));
        let flat = read == volume(input) && written == volume(output);
        let (macs, weights) = (u128::from(counts.macs), u128::from(counts.weights));
        let is_line = input[1..].contains(&1) && output[1..].contains(&1);
        let line = is_line && [kh, kw].contains(&(weights / pairs)) && weights % pairs == 0;
        let whole = pairs.saturating_mul(kh * kw);
        let sound = match flat {
            true => weights == whole || line,
            false => weights >= pairs && weights % pairs == 0,
        };
        if !sound {
            let expected = format!("the {whole} of its channels and window");
            return Err(self.weights.wrong(row, &weights.to_string(), &expected));
        }
        for (column, elems, shape) in [(&self.read, read, input), (&self.written, written, output)]
        {
            if elems % volume(shape) != 0 {
                let expected = format!("the {} of its shape", volume(shape));
                return Err(column.wrong(row, &elems.to_string(), &expected));
            }
        }
        // each weight is used once a position: of the output, or where it enlarges of the input
        let positions = match enlarges {
            true => read / u128::from(input[0]),
            false => written / u128::from(output[0]),
        };
        let right = weights * positions;
        if macs != right {
            let once = match macs == 2 * right {
                true => ", a multiply and an add once",
                false => "",
            };
            let expected = format!("the {right} multiply-adds of its shape{once}");
            return Err(self.macs.wrong(row, &macs.to_string(), &expected));
        }
        Ok(())
    }

    /// Each element of a product is made of as many multiply-adds, and each weight is used once for each of its rows.
    fn product(&self, row: usize, counts: &Counts) -> Result<(), TableError> {
        let [macs, weights, read, written] =
            [counts.macs, counts.weights, counts.read, counts.written].map(u128::from);
        if written == 0 || macs % written != 0 || macs > read * written {
            let expected = format!(
                "as many multiply-adds for each of the {written} elements written, of the {read} read at the most"
            );
            return Err(self.macs.wrong(row, &macs.to_string(), &expected));
        }
        if weights == 0 {
            return Ok(());
        }
        // with a bias or without
        let rows = [macs, macs + written].map(|all| (all % weights == 0).then_some(all / weights));
        let fits = |rows: u128| rows > 0 && written % rows == 0 && macs * rows <= read * written;
        if !rows.into_iter().flatten().any(fits) {
            let expected = format!("the {macs} multiply-adds over the rows that it multiplies");
            return Err(self.weights.wrong(row, &weights.to_string(), &expected));
        }
        Ok(())
    }
}
