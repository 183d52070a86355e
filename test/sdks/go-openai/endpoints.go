package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"

	"github.com/sashabaranov/go-openai"
)

func models(ctx context.Context) error {
	list, err := client.ListModels(ctx)
	if err != nil {
		return err
	}
	for _, model := range list.Models {
		if model.ID == "" || model.Object != "model" || model.CreatedAt <= 0 {
			return fmt.Errorf("a model lacks id, object or created: %+v", model)
		}
	}
	if !slices.ContainsFunc(list.Models, func(model openai.Model) bool { return model.ID == chatModel }) {
		return fmt.Errorf("%s is not among the %d models", chatModel, len(list.Models))
	}
	model, err := client.GetModel(ctx, chatModel)
	if err != nil {
		return err
	}
	if model.ID != chatModel || model.Object != "model" || model.CreatedAt <= 0 {
		return fmt.Errorf("got %+v", model)
	}
	_, err = client.GetModel(ctx, "no-such-model")
	_, err = expectError(err, http.StatusNotFound, "")
	return err
}

func embeddings(ctx context.Context) error {
	texts := []string{"The food was delicious.", "Съешь же ещё этих булок."}
	vectors, err := embed(ctx, texts, 0, 1536)
	if err != nil {
		return err
	}
	if slices.Equal(vectors[0], vectors[1]) {
		return errors.New("two texts have the same vector")
	}
	again, err := embed(ctx, texts[:1], 0, 1536)
	if err != nil {
		return err
	}
	if !slices.EqualFunc(vectors[0], again[0], func(a, b float32) bool { return math.Abs(float64(a-b)) < 1e-6 }) {
		return errors.New("the same text has two vectors")
	}
	_, err = embed(ctx, texts, 256, 256)
	return err
}

// embed checks that there is a vector of length 1 for each text. Without dimensions, none are asked for.
func embed(ctx context.Context, texts []string, dimensions, want int) ([][]float32, error) {
	response, err := client.CreateEmbeddings(ctx, openai.EmbeddingRequestStrings{
		Model:      openai.SmallEmbedding3,
		Input:      texts,
		Dimensions: dimensions,
	})
	if err != nil {
		return nil, err
	}
	if len(response.Data) != len(texts) {
		return nil, fmt.Errorf("%d vectors for %d texts", len(response.Data), len(texts))
	}
	if response.Usage.PromptTokens <= 0 || response.Usage.TotalTokens != response.Usage.PromptTokens {
		return nil, fmt.Errorf("usage does not add up: %+v", response.Usage)
	}
	vectors := make([][]float32, len(texts))
	for place, embedding := range response.Data {
		sum := 0.0
		for _, x := range embedding.Embedding {
			sum += float64(x) * float64(x)
		}
		if embedding.Index != place || len(embedding.Embedding) != want || math.Abs(math.Sqrt(sum)-1) > 1e-3 {
			return nil, fmt.Errorf("vector %d has index %d, %d dimensions and length %f",
				place, embedding.Index, len(embedding.Embedding), math.Sqrt(sum))
		}
		vectors[place] = embedding.Embedding
	}
	return vectors, nil
}

func responses(ctx context.Context) error {
	first, err := client.CreateResponse(ctx, openai.CreateResponseRequest{
		Model: chatModel,
		Input: "My favourite colour is a rather unusual shade of greenish blue.",
	})
	if err != nil {
		return err
	}
	if err := checkResponse(first); err != nil {
		return err
	}
	second, err := client.CreateResponse(ctx, openai.CreateResponseRequest{
		Model:              chatModel,
		Input:              "Which one?",
		PreviousResponseID: first.ID,
	})
	if err != nil {
		return err
	}
	if err := checkResponse(second); err != nil {
		return err
	}
	if second.ID == first.ID || second.PreviousResponseID != first.ID {
		return fmt.Errorf("%s follows %q, want %s", second.ID, second.PreviousResponseID, first.ID)
	}
	if second.Usage.InputTokens <= first.Usage.InputTokens {
		return fmt.Errorf("the follow-up has %d input tokens, what it follows has %d",
			second.Usage.InputTokens, first.Usage.InputTokens)
	}
	return nil
}

func checkResponse(response openai.CreateResponseResponse) error {
	if response.ID == "" || response.Object != "response" || response.Status != openai.ResponseStatusCompleted {
		return fmt.Errorf("response %q, object %q, status %q", response.ID, response.Object, response.Status)
	}
	if response.GetOutputText() == "" {
		return errors.New("no output text")
	}
	usage := response.Usage
	if usage == nil || usage.InputTokens <= 0 || usage.OutputTokens <= 0 ||
		usage.InputTokens+usage.OutputTokens != usage.TotalTokens {
		return fmt.Errorf("usage does not add up: %+v", usage)
	}
	return nil
}

func responsesStream(ctx context.Context) error {
	events, err := client.CreateResponseStream(ctx, openai.CreateResponseRequest{Model: chatModel, Input: "Hello!"})
	if err != nil {
		return err
	}
	defer events.Close()
	var text strings.Builder
	var completed *openai.CreateResponseResponse
	for place := 0; ; place++ {
		event, err := events.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if event.SequenceNumber != place {
			return fmt.Errorf("event %d (%s) has number %d", place, event.Type, event.SequenceNumber)
		}
		if (place == 0) != (event.Type == openai.ResponseStreamEventCreated) {
			return fmt.Errorf("event %d is %s", place, event.Type)
		}
		switch event.Type {
		case openai.ResponseStreamEventOutputTextDelta:
			text.WriteString(event.Delta)
		case openai.ResponseStreamEventCompleted:
			completed = event.Response
		case openai.ResponseStreamEventError, openai.ResponseStreamEventFailed:
			return fmt.Errorf("the stream failed: %s", event.Raw)
		}
	}
	if completed == nil {
		return errors.New("no response.completed")
	}
	if err := checkResponse(*completed); err != nil {
		return err
	}
	if text.String() != completed.GetOutputText() {
		return fmt.Errorf("the deltas make %q, the response says %q", text.String(), completed.GetOutputText())
	}
	return nil
}

func files(ctx context.Context) error {
	content := make([]byte, 100*1024)
	rand.NewChaCha8([32]byte{}).Read(content)
	file, err := client.CreateFileBytes(ctx, openai.FileBytesRequest{
		Name:    "noise.bin",
		Bytes:   content,
		Purpose: "user_data", // has no constant yet
	})
	if err != nil {
		return err
	}
	if file.ID == "" || file.Object != "file" || file.Bytes != len(content) || file.FileName != "noise.bin" ||
		file.Purpose != "user_data" || file.CreatedAt <= 0 {
		return fmt.Errorf("uploaded: %+v", file)
	}
	list, err := client.ListFiles(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(list.Files, func(listed openai.File) bool { return listed.ID == file.ID }) {
		return fmt.Errorf("%s is not among the %d files", file.ID, len(list.Files))
	}
	got, err := client.GetFile(ctx, file.ID)
	if err != nil {
		return err
	}
	if got.ID != file.ID || got.Bytes != len(content) {
		return fmt.Errorf("got %+v", got)
	}
	download, err := client.GetFileContent(ctx, file.ID)
	if err != nil {
		return err
	}
	defer download.Close()
	downloaded, err := io.ReadAll(download)
	if err != nil {
		return err
	}
	if !bytes.Equal(downloaded, content) {
		return fmt.Errorf("%d bytes came back, not the %d of the file", len(downloaded), len(content))
	}
	if err := client.DeleteFile(ctx, file.ID); err != nil {
		return err
	}
	_, err = client.GetFile(ctx, file.ID)
	_, err = expectError(err, http.StatusNotFound, "")
	return err
}
