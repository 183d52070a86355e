use async_openai::types::embeddings::{CreateEmbeddingRequest, CreateEmbeddingRequestArgs};
use async_openai::types::files::{CreateFileRequestArgs, FileInput, FilePurpose, OpenAIFilePurpose};
use async_openai::types::models::Model;
use async_openai::types::responses::{CreateResponseArgs, Response, ResponseStreamEvent, ResponseUsage, Status};
use futures::StreamExt;

use crate::errors::expect_error;
use crate::{CHAT_MODEL, CLIENT, Outcome, ensure};

pub async fn models() -> Outcome {
    let list = CLIENT.models().list().await?.data;
    for model in &list {
        ensure_model(model)?;
    }
    ensure!(
        list.iter().any(|model| model.id == CHAT_MODEL),
        "{CHAT_MODEL} is not among the {} models",
        list.len()
    );
    let model = CLIENT.models().retrieve(CHAT_MODEL).await?;
    ensure!(model.id == CHAT_MODEL, "got {model:?}");
    ensure_model(&model)?;
    expect_error(CLIENT.models().retrieve("no-such-model").await, 404, None)?;
    Ok(())
}

fn ensure_model(model: &Model) -> Outcome {
    ensure!(
        !model.id.is_empty() && model.object == "model" && model.created > 0,
        "a model lacks id, object or created: {model:?}"
    );
    Ok(())
}

pub async fn embeddings() -> Outcome {
    let texts = ["The food was delicious.", "Съешь же ещё этих булок."];
    let mut request = CreateEmbeddingRequestArgs::default();
    request.model("text-embedding-3-small").input(texts);
    let vectors = embed(request.build()?, 2, 1536).await?;
    ensure!(vectors[0] != vectors[1], "two texts have the same vector");
    let again = embed(request.clone().input(texts[0]).build()?, 1, 1536).await?;
    let same = vectors[0].iter().zip(&again[0]).all(|(a, b)| (a - b).abs() < 1e-6);
    ensure!(same, "the same text has two vectors");
    embed(request.dimensions(256u32).build()?, 2, 256).await?;
    Ok(())
}

/// Checks that there are that many vectors of length 1.
async fn embed(request: CreateEmbeddingRequest, texts: usize, dimensions: usize) -> Outcome<Vec<Vec<f32>>> {
    let response = CLIENT.embeddings().create(request).await?;
    ensure!(
        response.data.len() == texts,
        "{} vectors for {texts} texts",
        response.data.len()
    );
    ensure!(
        response.usage.prompt_tokens > 0 && response.usage.prompt_tokens == response.usage.total_tokens,
        "usage does not add up: {:?}",
        response.usage
    );
    for (place, embedding) in response.data.iter().enumerate() {
        let length = embedding
            .embedding
            .iter()
            .map(|x| f64::from(*x).powi(2))
            .sum::<f64>()
            .sqrt();
        ensure!(
            embedding.index as usize == place && embedding.embedding.len() == dimensions && (length - 1.0).abs() < 1e-3,
            "vector {place} has index {}, {} dimensions and length {length}",
            embedding.index,
            embedding.embedding.len()
        );
    }
    Ok(response.data.into_iter().map(|embedding| embedding.embedding).collect())
}

pub async fn responses() -> Outcome {
    let text = "My favourite colour is a rather unusual shade of greenish blue.";
    let first = CLIENT
        .responses()
        .create(CreateResponseArgs::default().model(CHAT_MODEL).input(text).build()?)
        .await?;
    let first_usage = ensure_response(&first)?;
    let follow_up = CreateResponseArgs::default()
        .model(CHAT_MODEL)
        .input("Which one?")
        .previous_response_id(&first.id)
        .build()?;
    let second = CLIENT.responses().create(follow_up).await?;
    let second_usage = ensure_response(&second)?;
    ensure!(
        second.id != first.id && second.previous_response_id.as_ref() == Some(&first.id),
        "{} follows {:?}, want {}",
        second.id,
        second.previous_response_id,
        first.id
    );
    ensure!(
        second_usage.input_tokens > first_usage.input_tokens,
        "the follow-up has {} input tokens, what it follows has {}",
        second_usage.input_tokens,
        first_usage.input_tokens
    );
    Ok(())
}

fn ensure_response(response: &Response) -> Outcome<&ResponseUsage> {
    ensure!(
        !response.id.is_empty() && response.object == "response" && response.status == Status::Completed,
        "response {:?}, object {:?}, status {:?}",
        response.id,
        response.object,
        response.status
    );
    ensure!(response.output_text().is_some(), "no output text");
    let usage = response.usage.as_ref().ok_or("no usage")?;
    ensure!(
        usage.input_tokens > 0
            && usage.output_tokens > 0
            && usage.input_tokens + usage.output_tokens == usage.total_tokens,
        "usage does not add up: {usage:?}"
    );
    Ok(usage)
}

pub async fn responses_stream() -> Outcome {
    let request = CreateResponseArgs::default()
        .model(CHAT_MODEL)
        .input("Hello!")
        .build()?;
    let mut events = CLIENT.responses().create_stream(request).await?;
    let mut place = 0;
    let mut text = String::new();
    let mut completed = None;
    while let Some(event) = events.next().await {
        let event = event?;
        // Each variant has a number of its own; written as JSON, all have it in the same place.
        let number = serde_json::to_value(&event)?["sequence_number"].clone();
        ensure!(number == place, "event {place} has number {number}: {event:?}");
        ensure!(
            (place == 0) == matches!(event, ResponseStreamEvent::ResponseCreated(_)),
            "response.created is not the first event: {event:?}"
        );
        match event {
            ResponseStreamEvent::ResponseOutputTextDelta(event) => text.push_str(&event.delta),
            ResponseStreamEvent::ResponseCompleted(event) => completed = Some(event.response),
            ResponseStreamEvent::ResponseError(_) | ResponseStreamEvent::ResponseFailed(_) => {
                return Err(format!("the stream failed: {event:?}").into());
            }
            _ => {}
        }
        place += 1;
    }
    let completed = completed.ok_or("no response.completed")?;
    ensure_response(&completed)?;
    let whole = completed.output_text().unwrap_or_default();
    ensure!(text == whole, "the deltas make {text:?}, the response says {whole:?}");
    Ok(())
}

pub async fn files() -> Outcome {
    let content = noise(100 * 1024);
    let request = CreateFileRequestArgs::default()
        .file(FileInput::from_vec_u8("noise.bin".into(), content.clone()))
        .purpose(FilePurpose::UserData)
        .build()?;
    let file = CLIENT.files().create(request).await?;
    ensure!(
        !file.id.is_empty()
            && file.object == "file"
            && file.bytes.is_some_and(|bytes| bytes as usize == content.len())
            && file.filename == "noise.bin"
            && file.purpose == OpenAIFilePurpose::UserData
            && file.created_at > 0,
        "uploaded: {file:?}"
    );
    let list = CLIENT.files().list().await?.data;
    ensure!(
        list.iter().any(|listed| listed.id == file.id),
        "{} is not among the {} files",
        file.id,
        list.len()
    );
    let got = CLIENT.files().retrieve(&file.id).await?;
    ensure!(got.id == file.id && got.bytes == file.bytes, "got {got:?}");
    let downloaded = CLIENT.files().content(&file.id).await?;
    ensure!(
        downloaded == content,
        "{} bytes came back, not the {} of the file",
        downloaded.len(),
        content.len()
    );
    let deleted = CLIENT.files().delete(&file.id).await?;
    ensure!(deleted.deleted && deleted.id == file.id, "deleted: {deleted:?}");
    expect_error(CLIENT.files().retrieve(&file.id).await, 404, None)?;
    Ok(())
}

/// Bytes of every value, the same each time.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..bytes).map(|_| next()).collect()
}
