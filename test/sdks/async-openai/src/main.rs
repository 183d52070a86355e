//! The scenarios of ../SCENARIOS.md with async-openai.
mod chat;
mod counts;
mod endpoints;
mod errors;

use std::error::Error;
use std::process::ExitCode;
use std::sync::LazyLock;
use std::time::Duration;

use async_openai::Client;
use async_openai::config::OpenAIConfig;

const CHAT_MODEL: &str = "gpt-4o-mini";
const SCENARIO_DEADLINE: Duration = Duration::from_secs(30);

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// The address and the key come from OPENAI_BASE_URL and OPENAI_API_KEY, which the SDK reads by itself.
static CLIENT: LazyLock<Client<OpenAIConfig>> = LazyLock::new(Client::new);

/// Leaves the function with an error that says what was seen.
macro_rules! ensure {
    ($condition:expr, $($seen:tt)+) => {
        if !$condition {
            return Err(format!($($seen)+).into());
        }
    };
}
use ensure;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    macro_rules! run {
        ($($name:literal => $scenario:path,)+) => {
            $(
                match outcome_of($scenario()).await {
                    Ok(()) => println!("SCENARIO {} ok", $name),
                    Err(reason) => {
                        code = ExitCode::FAILURE;
                        let words: Vec<_> = reason.split_whitespace().collect();
                        println!("SCENARIO {} FAILED {}", $name, words.join(" "));
                    }
                }
            )+
        };
    }
    run! {
        "models" => endpoints::models,
        "chat" => chat::chat,
        "stream" => chat::stream,
        "tools" => chat::tools,
        "structured" => chat::structured,
        "embeddings" => endpoints::embeddings,
        "responses" => endpoints::responses,
        "responses-stream" => endpoints::responses_stream,
        "vision" => chat::vision,
        "files" => endpoints::files,
        "error-400" => errors::error_400,
        "error-401" => errors::error_401,
        "error-404" => errors::error_404,
        "error-429" => errors::error_429,
        "error-500" => errors::error_500,
        "error-mid-stream" => errors::error_mid_stream,
        "cancel" => chat::cancel,
        "long-prompt" => chat::long_prompt,
    }
    code
}

/// In a task of its own, so that a panic is one scenario's only.
async fn outcome_of(scenario: impl Future<Output = Outcome> + Send + 'static) -> Result<(), String> {
    let task = tokio::spawn(scenario);
    let stop = task.abort_handle();
    match tokio::time::timeout(SCENARIO_DEADLINE, task).await {
        Ok(Ok(outcome)) => outcome.map_err(|error| error.to_string()),
        Ok(Err(panic)) => Err(panic.to_string()),
        Err(_) => {
            stop.abort();
            Err(format!("not done within {SCENARIO_DEADLINE:?}"))
        }
    }
}
