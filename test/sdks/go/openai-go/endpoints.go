package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"

	"megallm.test/sdks/harness"
)

func (s sdk) Models(ctx context.Context) ([]harness.Model, error) {
	var models []harness.Model
	for model, err := range all(s.client.Models.ListAutoPaging(ctx)) {
		if err != nil {
			return nil, err
		}
		models = append(models, modelOf(model))
	}
	return models, nil
}

func (s sdk) Model(ctx context.Context, id string) (harness.Model, error) {
	model, err := s.client.Models.Get(ctx, id)
	if err != nil {
		return harness.Model{}, err
	}
	return modelOf(*model), nil
}

func modelOf(model openai.Model) harness.Model {
	return harness.Model{ID: model.ID, Object: string(model.Object), Created: model.Created}
}

func (s sdk) ListWithKey(ctx context.Context, key string) error {
	_, err := s.client.Models.List(ctx, option.WithAPIKey(key))
	return err
}

func (s sdk) Embed(ctx context.Context, texts []string, dimensions int) (harness.Embeddings, error) {
	params := openai.EmbeddingNewParams{
		Model: openai.EmbeddingModelTextEmbedding3Small,
		Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: texts},
	}
	if dimensions > 0 {
		params.Dimensions = openai.Int(int64(dimensions))
	}
	response, err := s.client.Embeddings.New(ctx, params)
	if err != nil {
		return harness.Embeddings{}, err
	}
	read := harness.Embeddings{PromptTokens: response.Usage.PromptTokens, TotalTokens: response.Usage.TotalTokens}
	for _, embedding := range response.Data {
		read.Vectors = append(read.Vectors, harness.Vector{Index: embedding.Index, Values: embedding.Embedding})
	}
	return read, nil
}

func (s sdk) Respond(ctx context.Context, input, previousID string) (harness.Response, error) {
	params := responseTo(input)
	if previousID != "" {
		params.PreviousResponseID = openai.String(previousID)
	}
	response, err := s.client.Responses.New(ctx, params)
	if err != nil {
		return harness.Response{}, err
	}
	return responseOf(*response), nil
}

func responseTo(input string) responses.ResponseNewParams {
	return responses.ResponseNewParams{
		Model: harness.ChatModel,
		Input: responses.ResponseNewParamsInputUnion{OfString: openai.String(input)},
	}
}

func responseOf(response responses.Response) harness.Response {
	usage := response.Usage
	return harness.Response{
		ID:         response.ID,
		Object:     string(response.Object),
		Status:     string(response.Status),
		PreviousID: response.PreviousResponseID,
		Text:       response.OutputText(),
		Usage:      harness.Usage{Input: usage.InputTokens, Output: usage.OutputTokens, Total: usage.TotalTokens},
	}
}

func (s sdk) StreamResponse(ctx context.Context, input string) iter.Seq2[harness.Event, error] {
	return func(yield func(harness.Event, error) bool) {
		for event, err := range all(s.client.Responses.NewStreaming(ctx, responseTo(input))) {
			read := harness.Event{}
			if err == nil {
				read, err = eventOf(event)
			}
			if !yield(read, err) {
				return
			}
		}
	}
}

func eventOf(event responses.ResponseStreamEventUnion) (harness.Event, error) {
	read := harness.Event{Type: event.Type, Number: event.SequenceNumber, Raw: event.RawJSON()}
	if !event.JSON.SequenceNumber.Valid() {
		return read, fmt.Errorf("an event without a number: %s", event.RawJSON())
	}
	switch variant := event.AsAny().(type) {
	case responses.ResponseTextDeltaEvent:
		read.Delta = variant.Delta
	case responses.ResponseCompletedEvent:
		response := responseOf(variant.Response)
		read.Response = &response
	case nil:
		return read, fmt.Errorf("an unknown event: %s", event.RawJSON())
	}
	return read, nil
}

func (s sdk) Upload(ctx context.Context, name, purpose string, content []byte) (harness.File, error) {
	file, err := s.client.Files.New(ctx, openai.FileNewParams{
		File:    openai.File(bytes.NewReader(content), name, "application/octet-stream"),
		Purpose: openai.FilePurpose(purpose),
	})
	if err != nil {
		return harness.File{}, err
	}
	return fileOf(*file), nil
}

func (s sdk) FileIDs(ctx context.Context) ([]string, error) {
	var ids []string
	for file, err := range all(s.client.Files.ListAutoPaging(ctx, openai.FileListParams{})) {
		if err != nil {
			return nil, err
		}
		ids = append(ids, file.ID)
	}
	return ids, nil
}

func (s sdk) File(ctx context.Context, id string) (harness.File, error) {
	file, err := s.client.Files.Get(ctx, id)
	if err != nil {
		return harness.File{}, err
	}
	return fileOf(*file), nil
}

func fileOf(file openai.FileObject) harness.File {
	return harness.File{
		ID:      file.ID,
		Object:  string(file.Object),
		Name:    file.Filename,
		Purpose: string(file.Purpose),
		Bytes:   file.Bytes,
		Created: file.CreatedAt,
	}
}

func (s sdk) Download(ctx context.Context, id string) ([]byte, error) {
	content, err := s.client.Files.Content(ctx, id)
	if err != nil {
		return nil, err
	}
	defer content.Body.Close()
	return io.ReadAll(content.Body)
}

func (s sdk) Delete(ctx context.Context, id string) error {
	deleted, err := s.client.Files.Delete(ctx, id)
	if err != nil {
		return err
	}
	if !deleted.Deleted || deleted.ID != id {
		return fmt.Errorf("deleted: %s", deleted.RawJSON())
	}
	return nil
}
