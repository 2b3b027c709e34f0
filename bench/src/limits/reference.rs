//! The C reference implementation of Argon2, built for this processor (`-march=native`), on as many threads as there
//! are cores. Each thread keeps its memory.

use std::cell::RefCell;
use std::ptr::null_mut;
use std::time::{Duration, Instant};

use anyhow::ensure;
use argon2_sys::{
    ARGON2_DEFAULT_FLAGS, ARGON2_OK, ARGON2_VERSION_13, Argon2_Context, Argon2_id, argon2_ctx,
};
use authlog_infrastructure::hashing::Argon2Settings;

use crate::load::Sample;

thread_local! {
    /// Eight bytes an element, which is the alignment of the reference's own allocation.
    static MEMORY: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Lends the thread's memory to the reference.
unsafe extern "C" fn lend(memory: *mut *mut u8, bytes: usize) -> i32 {
    MEMORY.with_borrow_mut(|kept| {
        kept.resize(bytes.div_ceil(8), 0);
        // SAFETY: the reference passes a place for the pointer, and uses the memory on this thread (one lane) until it
        // calls `keep`; nothing else touches it meanwhile.
        unsafe { *memory = kept.as_mut_ptr().cast() };
    });
    0
}

/// Keeps the memory for the next hash of the thread.
unsafe extern "C" fn keep(_memory: *mut u8, _bytes: usize) {}

/// Hashes for a while with the parameters that the service has by default.
pub(crate) fn measure(a_while: Duration) -> anyhow::Result<Sample> {
    let settings = Argon2Settings::default();
    let began = Instant::now();
    let ends = began + a_while;
    let counts: Vec<anyhow::Result<u64>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..settings.threads)
            .map(|_| {
                scope.spawn(move || {
                    let mut count = 0;
                    while Instant::now() < ends {
                        hash(
                            settings.parameters.memory_kib,
                            settings.parameters.iterations,
                        )?;
                        count += 1;
                    }
                    Ok(count)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err(anyhow::anyhow!("a thread panicked")))
            })
            .collect()
    });
    let count = counts.into_iter().sum::<anyhow::Result<u64>>()?;
    Ok(Sample::counted(count, began.elapsed()))
}

fn hash(memory_kib: u32, iterations: u32) -> anyhow::Result<()> {
    let mut output = [0_u8; 32];
    let mut password = *b"opens-sesame";
    let mut salt = *b"sixteen bytes 16";
    let mut context = Argon2_Context {
        out: output.as_mut_ptr(),
        outlen: 32,
        pwd: password.as_mut_ptr(),
        pwdlen: password.len() as u32,
        salt: salt.as_mut_ptr(),
        saltlen: salt.len() as u32,
        secret: null_mut(),
        secretlen: 0,
        ad: null_mut(),
        adlen: 0,
        t_cost: iterations,
        m_cost: memory_kib,
        lanes: 1,
        threads: 1,
        version: ARGON2_VERSION_13,
        allocate_cbk: Some(lend),
        free_cbk: Some(keep),
        flags: ARGON2_DEFAULT_FLAGS,
    };
    // SAFETY: every pointer is to memory of the length that is passed with it, which lives until the call returns.
    let code = unsafe { argon2_ctx(&raw mut context, Argon2_id) };
    ensure!(code == ARGON2_OK, "the reference refuses: {code}");
    Ok(())
}
