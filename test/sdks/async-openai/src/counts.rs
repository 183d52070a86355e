//! How often the upstream of a model was asked, and how often its work was stopped early.
use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::{Outcome, ensure};

const STOP_DEADLINE: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Deserialize)]
pub struct Count {
    pub calls: u32,
    pub cancelled: u32,
}

pub async fn count_of(model: &str) -> Outcome<Count> {
    let url = std::env::var("MEGALLM_COUNTS_URL")?;
    let counts: HashMap<String, Count> = reqwest::get(url).await?.json().await?;
    Ok(*counts.get(model).ok_or("the counts lack the model")?)
}

/// Waits until the upstream's work on one more call of the model has been stopped.
pub async fn ensure_stopped(model: &str, before: Count) -> Outcome {
    let started = Instant::now();
    while count_of(model).await?.cancelled <= before.cancelled {
        ensure!(
            started.elapsed() < STOP_DEADLINE,
            "{model} was still at work {STOP_DEADLINE:?} after the client had left"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
