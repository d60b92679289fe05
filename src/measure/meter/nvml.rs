//! The total energy counter of NVIDIA GPUs (Volta and newer): the whole board, all processes.

use super::{Absent, EnergyMeter, MeterDef, MeterError, Places, Resolution};
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};

pub(super) static NVML: MeterDef = MeterDef {
    name: "nvml",
    cpu: false,
    gpu: true,
    open: |places| Ok(Box::new(Counter::open(places)?)),
};

struct Counter {
    nvml: Nvml,
    gpu: Gpu,
    name: String,
}

/// How NVML knows the GPU that CUDA counts as number n.
enum Gpu {
    Index(u32),
    Uuid(String),
}

impl Gpu {
    /// `visible` is the value of CUDA_VISIBLE_DEVICES, which renumbers CUDA's devices but not NVML's.
    fn of(number: u32, visible: Option<&str>) -> Self {
        let named = visible
            .and_then(|v| v.split(',').nth(number as usize))
            .map(str::trim);
        match named {
            None | Some("") => Gpu::Index(number),
            Some(name) => match name.parse() {
                Ok(index) => Gpu::Index(index),
                Err(_) => Gpu::Uuid(name.to_owned()),
            },
        }
    }

    fn device<'n>(&self, nvml: &'n Nvml) -> Result<Device<'n>, NvmlError> {
        match self {
            Gpu::Index(index) => nvml.device_by_index(*index),
            Gpu::Uuid(uuid) => nvml.device_by_uuid(uuid.as_str()),
        }
    }
}

fn load(places: &Places) -> Result<Nvml, NvmlError> {
    match &places.nvml {
        Some(path) => Nvml::builder().lib_path(path.as_os_str()).init(),
        None => Nvml::init(),
    }
}

fn find(number: u32) -> Gpu {
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    Gpu::of(number, visible.as_deref())
}

/// What the driver calls a GPU.
pub(super) fn gpu_name(places: &Places, number: u32) -> Option<String> {
    let nvml = load(places).ok()?;
    let device = find(number).device(&nvml).ok()?;
    device.name().ok()
}

impl Counter {
    fn open(places: &Places) -> Result<Self, Absent> {
        let nvml = load(places).map_err(|e| Absent(format!("no NVML: {e}")))?;
        let gpu = find(places.gpu.unwrap_or(0));
        gpu.device(&nvml)
            .and_then(|d| d.total_energy_consumption())
            .map_err(|e| Absent(format!("no total energy counter: {e}")))?;
        Ok(Self {
            nvml,
            gpu,
            name: "nvml".to_owned(),
        })
    }
}

impl EnergyMeter for Counter {
    fn name(&self) -> &str {
        &self.name
    }

    fn resolution(&self) -> Resolution {
        // millijoules, which move about every 100 ms on current boards
        Resolution {
            step_uj: 1000,
            period_s: 0.1,
        }
    }

    fn read_uj(&mut self) -> Result<u64, MeterError> {
        let device = self.gpu.device(&self.nvml);
        let millijoules = device.and_then(|d| d.total_energy_consumption());
        let millijoules = millijoules.map_err(|e| MeterError::Read(format!("nvml: {e}")))?;
        Ok(millijoules.saturating_mul(1000))
    }
}

#[cfg(test)]
mod tests {
    use super::Gpu;

    #[test]
    fn visible_devices_renumber() {
        let index = |number, visible| match Gpu::of(number, visible) {
            Gpu::Index(i) => i.to_string(),
            Gpu::Uuid(u) => u,
        };
        assert_eq!(index(1, None), "1");
        assert_eq!(index(1, Some("3, 5")), "5");
        assert_eq!(index(0, Some("GPU-8d2f")), "GPU-8d2f");
        assert_eq!(index(2, Some("3,5")), "2");
    }
}
