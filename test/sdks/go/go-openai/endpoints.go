package main

import (
	"context"
	"io"
	"iter"

	"github.com/sashabaranov/go-openai"

	"megallm.test/sdks/harness"
)

func (s sdk) Models(ctx context.Context) ([]harness.Model, error) {
	list, err := s.client.ListModels(ctx)
	var models []harness.Model
	for _, model := range list.Models {
		models = append(models, modelOf(model))
	}
	return models, err
}

func (s sdk) Model(ctx context.Context, id string) (harness.Model, error) {
	model, err := s.client.GetModel(ctx, id)
	return modelOf(model), err
}

func modelOf(model openai.Model) harness.Model {
	return harness.Model{ID: model.ID, Object: model.Object, Created: model.CreatedAt}
}

func (sdk) ListWithKey(ctx context.Context, key string) error {
	_, err := newClient(key).ListModels(ctx)
	return err
}

func (s sdk) Embed(ctx context.Context, texts []string, dimensions int) (harness.Embeddings, error) {
	response, err := s.client.CreateEmbeddings(ctx, openai.EmbeddingRequestStrings{
		Model:      openai.SmallEmbedding3,
		Input:      texts,
		Dimensions: dimensions,
	})
	read := harness.Embeddings{
		PromptTokens: int64(response.Usage.PromptTokens),
		TotalTokens:  int64(response.Usage.TotalTokens),
	}
	for _, embedding := range response.Data {
		values := make([]float64, len(embedding.Embedding))
		for place, x := range embedding.Embedding {
			values[place] = float64(x)
		}
		read.Vectors = append(read.Vectors, harness.Vector{Index: int64(embedding.Index), Values: values})
	}
	return read, err
}

func (s sdk) Respond(ctx context.Context, input, previousID string) (harness.Response, error) {
	response, err := s.client.CreateResponse(ctx, openai.CreateResponseRequest{
		Model:              harness.ChatModel,
		Input:              input,
		PreviousResponseID: previousID,
	})
	return responseOf(response), err
}

func responseOf(response openai.CreateResponseResponse) harness.Response {
	read := harness.Response{
		ID:         response.ID,
		Object:     response.Object,
		Status:     string(response.Status),
		PreviousID: response.PreviousResponseID,
		Text:       response.GetOutputText(),
	}
	if usage := response.Usage; usage != nil {
		read.Usage = harness.Usage{
			Input:  int64(usage.InputTokens),
			Output: int64(usage.OutputTokens),
			Total:  int64(usage.TotalTokens),
		}
	}
	return read
}

func (s sdk) StreamResponse(ctx context.Context, input string) iter.Seq2[harness.Event, error] {
	request := openai.CreateResponseRequest{Model: harness.ChatModel, Input: input}
	return func(yield func(harness.Event, error) bool) {
		for event, err := range received(s.client.CreateResponseStream(ctx, request)) {
			if !yield(eventOf(event), err) {
				return
			}
		}
	}
}

func eventOf(event openai.ResponseStreamEvent) harness.Event {
	read := harness.Event{
		Type:   string(event.Type),
		Number: int64(event.SequenceNumber),
		Delta:  event.Delta,
		Raw:    string(event.Raw),
	}
	if event.Response != nil {
		response := responseOf(*event.Response)
		read.Response = &response
	}
	return read
}

func (s sdk) Upload(ctx context.Context, name, purpose string, content []byte) (harness.File, error) {
	file, err := s.client.CreateFileBytes(ctx, openai.FileBytesRequest{
		Name:    name,
		Bytes:   content,
		Purpose: openai.PurposeType(purpose),
	})
	return fileOf(file), err
}

func (s sdk) FileIDs(ctx context.Context) ([]string, error) {
	list, err := s.client.ListFiles(ctx)
	var ids []string
	for _, file := range list.Files {
		ids = append(ids, file.ID)
	}
	return ids, err
}

func (s sdk) File(ctx context.Context, id string) (harness.File, error) {
	file, err := s.client.GetFile(ctx, id)
	return fileOf(file), err
}

func fileOf(file openai.File) harness.File {
	return harness.File{
		ID:      file.ID,
		Object:  file.Object,
		Name:    file.FileName,
		Purpose: file.Purpose,
		Bytes:   int64(file.Bytes),
		Created: file.CreatedAt,
	}
}

func (s sdk) Download(ctx context.Context, id string) ([]byte, error) {
	content, err := s.client.GetFileContent(ctx, id)
	if err != nil {
		return nil, err
	}
	defer content.Close()
	return io.ReadAll(content)
}

func (s sdk) Delete(ctx context.Context, id string) error {
	return s.client.DeleteFile(ctx, id)
}
