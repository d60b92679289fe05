//! Profiles of GPUs on boards from the Vulkan tables of the ncnn benchmark, all fitted at once as the CPU tables are
//! ([`arm`]): the same columns, the same law, tables of GPUs instead.

use super::arm::{self, Boards};
use super::error::CalibrateError;
use super::public::OfNcnn;
use crate::base::table::Table;
use crate::device::Profile;

/// A GPU that becomes a profile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gpu {
    /// The profile.
    pub profile: &'static str,
    /// For people.
    pub hardware: &'static str,
    /// Start of the heading in the table.
    pub heading: &'static str,
}

const fn gpu(profile: &'static str, hardware: &'static str, heading: &'static str) -> Gpu {
    Gpu {
        profile,
        hardware,
        heading,
    }
}

/// The GPUs that ship: those whose networks left out are on average less than 20 % off.
pub const GPUS: [Gpu; 5] = [
    gpu(
        "jetson-tx2nx-vulkan",
        "NVIDIA Jetson TX2 NX, GPU (Pascal, 256 cores)",
        "NVIDIA Jetson TX2 NX",
    ),
    gpu(
        "pi5-vulkan",
        "Raspberry Pi 5, GPU (VideoCore VII)",
        "Raspberry Pi 5 Broadcom BCM2712, ",
    ),
    gpu(
        "rk3399-vulkan",
        "Rockchip RK3399, GPU (Mali-T860)",
        "Rockchip RK3399 ",
    ),
    gpu(
        "khadas-vim3-vulkan",
        "Khadas VIM3, Amlogic A311D, GPU (Mali-G52)",
        "Khadas VIM3",
    ),
    gpu(
        "snapdragon765g-vulkan",
        "Qualcomm Snapdragon 765G, GPU (Adreno 620)",
        "Qualcomm SDM765G",
    ),
];

/// GPUs whose tables say too little: their times hang on launches and on what the driver chose, not on work that a law knows.
pub const UNSOUND: [Gpu; 3] = [
    gpu(
        "Jetson AGX Xavier",
        "NVIDIA Jetson AGX Xavier, GPU",
        "NVIDIA Jetson AGX Xavier",
    ),
    gpu(
        "Jetson Orin Nano",
        "NVIDIA Jetson Orin Nano, GPU",
        "NVIDIA Jetson Orin Nano",
    ),
    gpu(
        "Jetson AGX Orin",
        "NVIDIA Jetson AGX Orin, GPU",
        "NVIDIA Jetson AGX Orin",
    ),
];

/// All Vulkan tables, fitted.
///
/// # Errors
/// Where a column is not there.
pub fn fit(rows: &Table, graphs: &Table) -> Result<Boards, CalibrateError> {
    let tables = arm::tables_of(rows, graphs, |_, gpu| gpu >= 0)?;
    Ok(Boards::fit(tables))
}

/// The number of the table of a GPU: of several, the newest.
pub fn find(boards: &Boards, gpu: &Gpu) -> Option<usize> {
    let of_gpu = boards.tables.iter().enumerate();
    let of_gpu = of_gpu.filter(|(_, t)| t.soc.starts_with(gpu.heading));
    let newest = of_gpu.max_by(|(_, a), (_, b)| a.date.cmp(&b.date).then(a.id.cmp(&b.id)));
    newest.map(|(i, _)| i)
}

/// The profile of a GPU's table.
pub fn profile(boards: &Boards, gpu: &Gpu, number: usize) -> Profile {
    let of = OfNcnn {
        name: gpu.profile,
        hardware: gpu.hardware,
        runtime: "ncnn, Vulkan",
        threads: 0,
        precision: "fp16",
        carried_from: "the same rates on all Vulkan GPUs of the tables",
        others: "other Vulkan tables",
        held_out: METHOD,
    };
    of.profile(boards, number, &arm::kinds_known(&boards.tables))
}

/// What is held out.
pub const METHOD: &str = "one network left out of all Vulkan tables at a time";
