use std::collections::BTreeMap;

use async_openai::types::chat::{
    ChatCompletionMessageToolCall, ChatCompletionRequestAssistantMessageArgs, ChatCompletionRequestMessage,
    ChatCompletionRequestMessageContentPartImage, ChatCompletionRequestMessageContentPartText,
    ChatCompletionRequestToolMessage, ChatCompletionRequestUserMessage, ChatCompletionRequestUserMessageArgs,
    ChatCompletionRequestUserMessageContentPart, ChatCompletionStreamOptions, ChatCompletionTool, ChatCompletionTools,
    CompletionUsage, CreateChatCompletionRequest, CreateChatCompletionRequestArgs, CreateChatCompletionResponse,
    FinishReason, FunctionObjectArgs, FunctionType, ImageDetail, ImageUrl, ResponseFormat, ResponseFormatJsonSchema,
    Role,
};
use futures::StreamExt;
use schemars::{JsonSchema, schema_for};
use serde::Deserialize;

use crate::counts::{count_of, ensure_stopped};
use crate::{CHAT_MODEL, CLIENT, Outcome, ensure};

const TINY_PNG: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

pub fn request(model: &str, text: &str) -> CreateChatCompletionRequestArgs {
    let mut request = CreateChatCompletionRequestArgs::default();
    request
        .model(model)
        .messages(vec![ChatCompletionRequestUserMessage::from(text).into()]);
    request
}

pub async fn chat() -> Outcome {
    complete(request(CHAT_MODEL, "Hello!").build()?).await?;
    Ok(())
}

/// Asks for a whole answer in words and checks it.
async fn complete(request: CreateChatCompletionRequest) -> Outcome<CreateChatCompletionResponse> {
    let completion = CLIENT.chat().create(request).await?;
    let [choice] = completion.choices.as_slice() else {
        return Err(format!("{} choices", completion.choices.len()).into());
    };
    ensure!(
        !content_of(&completion).is_empty() && choice.message.role == Role::Assistant,
        "no answer of the assistant: {choice:?}"
    );
    ensure!(
        choice.finish_reason == Some(FinishReason::Stop),
        "finish_reason {:?}",
        choice.finish_reason
    );
    ensure_usage(completion.usage.as_ref())?;
    Ok(completion)
}

fn content_of(completion: &CreateChatCompletionResponse) -> &str {
    completion.choices[0].message.content.as_deref().unwrap_or_default()
}

fn ensure_usage(usage: Option<&CompletionUsage>) -> Outcome {
    let usage = usage.ok_or("no usage")?;
    ensure!(
        usage.prompt_tokens > 0
            && usage.completion_tokens > 0
            && usage.prompt_tokens + usage.completion_tokens == usage.total_tokens,
        "usage does not add up: {usage:?}"
    );
    Ok(())
}

fn with_usage() -> ChatCompletionStreamOptions {
    ChatCompletionStreamOptions {
        include_usage: Some(true),
        include_obfuscation: None,
    }
}

pub async fn stream() -> Outcome {
    const WORDS: &str = "These words arrive one after the other.";
    let request = request(CHAT_MODEL, &format!("Say: {WORDS}"))
        .stream_options(with_usage())
        .build()?;
    let mut chunks = CLIENT.chat().create_stream(request).await?;
    let mut text = String::new();
    let mut deltas = 0;
    let mut finish_reason = None;
    let mut last = None;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        for choice in &chunk.choices {
            let delta = choice.delta.content.as_deref().unwrap_or_default();
            deltas += usize::from(!delta.is_empty());
            text.push_str(delta);
            finish_reason = choice.finish_reason.or(finish_reason);
        }
        last = Some(chunk);
    }
    ensure!(text == WORDS && deltas > 1, "{deltas} deltas made {text:?}");
    ensure!(
        finish_reason == Some(FinishReason::Stop),
        "finish_reason {finish_reason:?}"
    );
    let last = last.ok_or("no chunk")?;
    ensure!(
        last.choices.is_empty(),
        "the last chunk is not the one of the usage: {last:?}"
    );
    ensure_usage(last.usage.as_ref())
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Unit {
    Celsius,
    Fahrenheit,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WeatherArguments {
    /// The name of a city
    city: String,
    #[allow(dead_code, reason = "that it can be read is all that counts")]
    unit: Unit,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TimeArguments {
    /// An IANA time zone
    zone: String,
    #[allow(dead_code, reason = "that it can be read is all that counts")]
    twelve_hours: bool,
}

fn tool<Arguments: JsonSchema>(name: &str) -> Outcome<ChatCompletionTools> {
    let function = FunctionObjectArgs::default()
        .name(name)
        .parameters(schema_for!(Arguments))
        .strict(true)
        .build()?;
    Ok(ChatCompletionTools::Function(ChatCompletionTool { function }))
}

/// Goes on until the model has nothing more to call.
pub async fn tools() -> Outcome {
    let mut request = request(
        CHAT_MODEL,
        "How warm is it in Paris, and what time is it there? Use get_weather and get_time.",
    )
    .tools(vec![
        tool::<WeatherArguments>("get_weather")?,
        tool::<TimeArguments>("get_time")?,
    ])
    .stream_options(with_usage())
    .build()?;
    let mut called = Vec::new();
    for turn in 1..=3 {
        let answer = streamed_answer(request.clone()).await?;
        if answer.calls.is_empty() {
            ensure!(
                !answer.text.is_empty() && answer.finish_reason == Some(FinishReason::Stop),
                "the loop ends with {:?} and finish_reason {:?}",
                answer.text,
                answer.finish_reason
            );
            called.sort();
            ensure!(
                turn == 2 && called == ["get_time", "get_weather"],
                "words in turn {turn}, after calls of {called:?}"
            );
            return Ok(());
        }
        ensure!(
            answer.calls.len() == 2 && answer.finish_reason == Some(FinishReason::ToolCalls),
            "{} calls in parallel, finish_reason {:?}",
            answer.calls.len(),
            answer.finish_reason
        );
        let calls: Vec<_> = answer.calls.iter().cloned().map(Into::into).collect();
        request.messages.push(
            ChatCompletionRequestAssistantMessageArgs::default()
                .tool_calls(calls)
                .build()?
                .into(),
        );
        for call in answer.calls {
            ensure_call(&call).map_err(|error| format!("the call {call:?}: {error}"))?;
            let result = ChatCompletionRequestToolMessage {
                content: r#"{"result":21}"#.into(),
                tool_call_id: call.id,
            };
            request.messages.push(ChatCompletionRequestMessage::Tool(result));
            called.push(call.function.name);
        }
    }
    Err("still calls tools in turn 3".into())
}

fn ensure_call(call: &ChatCompletionMessageToolCall) -> Outcome {
    ensure!(!call.id.is_empty(), "no id");
    match call.function.name.as_str() {
        "get_weather" => {
            let arguments: WeatherArguments = serde_json::from_str(&call.function.arguments)?;
            ensure!(!arguments.city.is_empty(), "no city");
        }
        "get_time" => {
            let arguments: TimeArguments = serde_json::from_str(&call.function.arguments)?;
            ensure!(!arguments.zone.is_empty(), "no zone");
        }
        _ => return Err("an unknown tool".into()),
    }
    Ok(())
}

#[derive(Default)]
struct Answer {
    text: String,
    calls: Vec<ChatCompletionMessageToolCall>,
    finish_reason: Option<FinishReason>,
}

/// Puts together by hand what the SDK leaves in pieces.
async fn streamed_answer(request: CreateChatCompletionRequest) -> Outcome<Answer> {
    let mut answer = Answer::default();
    let mut calls: BTreeMap<u32, ChatCompletionMessageToolCall> = BTreeMap::new();
    let mut chunks = CLIENT.chat().create_stream(request).await?;
    while let Some(chunk) = chunks.next().await {
        for choice in chunk?.choices {
            answer
                .text
                .push_str(choice.delta.content.as_deref().unwrap_or_default());
            answer.finish_reason = choice.finish_reason.or(answer.finish_reason);
            for delta in choice.delta.tool_calls.unwrap_or_default() {
                ensure!(
                    delta.id.is_none() || delta.r#type == Some(FunctionType::Function),
                    "a call without its type: {delta:?}"
                );
                let call = calls.entry(delta.index).or_default();
                call.id.push_str(delta.id.as_deref().unwrap_or_default());
                if let Some(function) = delta.function {
                    call.function
                        .name
                        .push_str(function.name.as_deref().unwrap_or_default());
                    call.function
                        .arguments
                        .push_str(function.arguments.as_deref().unwrap_or_default());
                }
            }
        }
    }
    answer.calls = calls.into_values().collect();
    Ok(answer)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Step {
    explanation: String,
    result: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Level {
    Easy,
    Hard,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Solution {
    steps: Vec<Step>,
    answer: String,
    #[allow(dead_code, reason = "that it can be read is all that counts")]
    sure: bool,
    #[allow(dead_code, reason = "that it can be read is all that counts")]
    level: Level,
}

pub async fn structured() -> Outcome {
    let json_schema = ResponseFormatJsonSchema {
        description: None,
        name: "solution".into(),
        schema: schema_for!(Solution).into(),
        strict: Some(true),
    };
    let request = request(CHAT_MODEL, "Solve 8x + 31 = 2.")
        .response_format(ResponseFormat::JsonSchema { json_schema })
        .build()?;
    let completion = complete(request).await?;
    let content = content_of(&completion);
    let solution: Solution = serde_json::from_str(content).map_err(|error| format!("{content}: {error}"))?;
    ensure!(
        !solution.answer.is_empty()
            && solution
                .steps
                .iter()
                .all(|step| !step.explanation.is_empty() && !step.result.is_empty()),
        "fields are missing: {content}"
    );
    Ok(())
}

pub async fn vision() -> Outcome {
    let text = ChatCompletionRequestMessageContentPartText::from("What is in this picture?");
    let image_url = ImageUrl {
        url: TINY_PNG.into(),
        detail: Some(ImageDetail::Low),
    };
    let image = ChatCompletionRequestMessageContentPartImage::from(image_url);
    let parts: Vec<ChatCompletionRequestUserMessageContentPart> = vec![text.into(), image.into()];
    let message = ChatCompletionRequestUserMessageArgs::default().content(parts).build()?;
    complete(request(CHAT_MODEL, "").messages(message).build()?).await?;
    Ok(())
}

pub async fn cancel() -> Outcome {
    const MODEL: &str = "slow-stream";
    let before = count_of(MODEL).await?;
    let request = request(MODEL, "Tell me a story without end.").build()?;
    let mut chunks = CLIENT.chat().create_stream(request).await?;
    let mut deltas = 0;
    while deltas < 3 {
        let chunk = chunks.next().await.ok_or("the stream ended by itself")??;
        let filled = chunk
            .choices
            .iter()
            .filter(|choice| choice.delta.content.as_deref().is_some_and(|it| !it.is_empty()));
        deltas += filled.count();
    }
    drop(chunks);
    ensure_stopped(MODEL, before).await
}

pub async fn long_prompt() -> Outcome {
    const PASSAGE: &str =
        "Съешь же ещё этих мягких французских булок, да выпей чаю. 敏捷的棕色狐狸跳过了懒狗。🦊🐕🎉👩‍👩‍👧‍👦\n";
    let passages = PASSAGE.repeat(100 * 1024 / PASSAGE.len() + 1);
    let prompt = format!("Answer in one word, without quoting anything.\n{passages}");
    let completion = complete(request(CHAT_MODEL, &prompt).build()?).await?;
    let usage = completion.usage.as_ref().ok_or("no usage")?;
    ensure!(usage.prompt_tokens >= 10_000, "{} prompt tokens", usage.prompt_tokens);
    ensure!(
        !content_of(&completion).contains('\u{FFFD}'),
        "a character was cut in the answer"
    );
    Ok(())
}
