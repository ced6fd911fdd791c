//! Waiting for a GPU no longer than the limit of the ranks, because an operation with a rank that is stuck
//! never ends, and a read of its result would wait for it.

use crate::error::RanksError;
use crate::link::Link;
use kasmina_torch_ext::cuda::Echo;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tch::{Device, Kind, Tensor};

/// Time between two looks at the GPU.
const PAUSE: Duration = Duration::from_micros(20);

/// Waits until a GPU has done everything that was queued.
#[derive(Debug)]
pub struct DeviceWait {
    link: Arc<Link>,
    /// `None` on the CPU, where operations with other ranks end by themselves.
    echo: Option<(Echo, Tensor)>,
    count: u64,
}

impl DeviceWait {
    /// Creates the wait for a device.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn new(link: &Arc<Link>, device: Device) -> Result<Self, kasmina_torch_ext::Error> {
        let echo = || -> Result<_, kasmina_torch_ext::Error> {
            Ok((Echo::new(device, 1)?, Tensor::f_zeros([1], (Kind::Float, device))?))
        };
        Ok(Self { link: Arc::clone(link), echo: device.is_cuda().then(echo).transpose()?, count: 0 })
    }

    /// Waits until everything that is queued on the current stream is done.
    ///
    /// # Errors
    /// If a rank is lost, or that takes longer than the limit.
    pub fn wait(&mut self) -> Result<(), RanksError> {
        let Some((echo, number)) = &mut self.echo else { return Ok(()) };
        self.count += 1;
        echo.push(self.count, number).map_err(|error| self.link.explain(&error))?;
        read_in_time(&self.link, echo, self.count).map(drop)
    }
}

/// Waits until the GPU has reached the entry `number` of an echo, and returns its value.
///
/// # Errors
/// If a rank is lost, or that takes longer than the limit.
pub(crate) fn read_in_time(link: &Link, echo: &Echo, number: u64) -> Result<f32, RanksError> {
    let begun = Instant::now();
    loop {
        let read = echo.read(number);
        // An aborted operation may look complete.
        link.check()?;
        match read {
            Ok(Some(value)) => return Ok(value),
            Ok(None) if begun.elapsed() > link.limit() => {
                let late = format!("the GPU did not end a step within {:.0} s", link.limit().as_secs_f64());
                return Err(link.explain(&late));
            }
            Ok(None) => std::thread::sleep(PAUSE),
            Err(error) => return Err(link.explain(&error)),
        }
    }
}
