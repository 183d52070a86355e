use std::fmt::Debug;

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::error::{ApiError, OpenAIError};
use async_openai::types::chat::CreateChatCompletionResponse;
use futures::StreamExt;

use crate::chat::request;
use crate::counts::count_of;
use crate::{CLIENT, Outcome, ensure};

/// Three retries are the SDK's default.
const CALLS_PER_REQUEST: u32 = 4;

/// The SDK's own error with that status; without a code, any code will do.
pub fn expect_error<T: Debug>(answer: Result<T, OpenAIError>, status: u16, code: Option<&str>) -> Outcome<ApiError> {
    let response = match answer {
        Err(OpenAIError::ApiError(response)) => response,
        other => return Err(format!("want an ApiError of {status}, got {other:?}").into()),
    };
    ensure!(
        response.status_code.as_u16() == status,
        "want status {status}, got {response:?}"
    );
    ensure!(
        !response.api_error.message.is_empty(),
        "the error of {status} has no message"
    );
    ensure!(
        code.is_none() || response.api_error.code.as_deref() == code,
        "want code {code:?}, got {response:?}"
    );
    Ok(response.api_error)
}

async fn ask(model: &str) -> Result<CreateChatCompletionResponse, OpenAIError> {
    CLIENT.chat().create(request(model, "Hello!").build()?).await
}

pub async fn error_400() -> Outcome {
    let error = expect_error(ask("fault-400").await, 400, Some("invalid_value"))?;
    ensure!(
        error.param.as_deref() == Some("temperature")
            && error.message.contains("temperature")
            && error.r#type.as_deref() == Some("invalid_request_error"),
        "param, message or type: {error:?}"
    );
    Ok(())
}

pub async fn error_401() -> Outcome {
    let stranger = Client::with_config(OpenAIConfig::new().with_api_key("sk-wrong-key"));
    expect_error(stranger.models().list().await, 401, Some("invalid_api_key"))?;
    Ok(())
}

pub async fn error_404() -> Outcome {
    expect_error(ask("no-such-model").await, 404, Some("model_not_found"))?;
    Ok(())
}

pub async fn error_429() -> Outcome {
    ensure_retried("fault-429", 429, Some("rate_limit_exceeded")).await
}

pub async fn error_500() -> Outcome {
    ensure_retried("fault-500", 500, None).await
}

async fn ensure_retried(model: &str, status: u16, code: Option<&str>) -> Outcome {
    let before = count_of(model).await?.calls;
    expect_error(ask(model).await, status, code)?;
    let calls = count_of(model).await?.calls - before;
    ensure!(
        calls == CALLS_PER_REQUEST,
        "{model} was called {calls} times, want {CALLS_PER_REQUEST}"
    );
    Ok(())
}

pub async fn error_mid_stream() -> Outcome {
    let mut chunks = CLIENT
        .chat()
        .create_stream(request("fault-mid-stream", "Hello!").build()?)
        .await?;
    let mut text = String::new();
    let error = loop {
        match chunks.next().await {
            Some(Ok(chunk)) => {
                for choice in chunk.choices {
                    ensure!(
                        choice.finish_reason.is_none(),
                        "the stream looks complete: {:?}",
                        choice.finish_reason
                    );
                    text.push_str(choice.delta.content.as_deref().unwrap_or_default());
                }
            }
            Some(Err(error)) => break error,
            None => return Err(format!("the stream looks complete after {text:?}").into()),
        }
    };
    // The SDK has no class for an error in a stream: it reports a chunk that it cannot read, and what it says.
    ensure!(
        matches!(&error, OpenAIError::JSONDeserialize(_, content) if content.contains("server_error")),
        "the error says nothing: {error}"
    );
    ensure!(text.split_whitespace().count() == 2, "{text:?} before the error");
    Ok(())
}
