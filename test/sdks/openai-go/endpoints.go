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

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/responses"
)

func models(ctx context.Context) error {
	found := false
	pages := client.Models.ListAutoPaging(ctx)
	for pages.Next() {
		model := pages.Current()
		if err := checkModel(model); err != nil {
			return err
		}
		found = found || model.ID == chatModel
	}
	if err := pages.Err(); err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("%s is not in the list", chatModel)
	}
	model, err := client.Models.Get(ctx, chatModel)
	if err != nil {
		return err
	}
	if model.ID != chatModel {
		return fmt.Errorf("got %s", model.RawJSON())
	}
	if err := checkModel(*model); err != nil {
		return err
	}
	_, err = client.Models.Get(ctx, "no-such-model")
	_, err = expectError(err, http.StatusNotFound, "")
	return err
}

func checkModel(model openai.Model) error {
	if model.ID == "" || model.Object != "model" || model.Created <= 0 {
		return fmt.Errorf("a model lacks id, object or created: %.200s", model.RawJSON())
	}
	return nil
}

func embeddings(ctx context.Context) error {
	texts := []string{"The food was delicious.", "Съешь же ещё этих булок."}
	params := openai.EmbeddingNewParams{
		Model: openai.EmbeddingModelTextEmbedding3Small,
		Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: texts},
	}
	vectors, err := embed(ctx, params, 1536)
	if err != nil {
		return err
	}
	if slices.Equal(vectors[0], vectors[1]) {
		return errors.New("two texts have the same vector")
	}
	params.Input.OfArrayOfStrings = texts[:1]
	again, err := embed(ctx, params, 1536)
	if err != nil {
		return err
	}
	if !slices.EqualFunc(vectors[0], again[0], func(a, b float64) bool { return math.Abs(a-b) < 1e-6 }) {
		return errors.New("the same text has two vectors")
	}
	params.Dimensions = openai.Int(256)
	_, err = embed(ctx, params, 256)
	return err
}

// embed checks that there is a vector of length 1 for each text.
func embed(ctx context.Context, params openai.EmbeddingNewParams, want int) ([][]float64, error) {
	response, err := client.Embeddings.New(ctx, params)
	if err != nil {
		return nil, err
	}
	if texts := params.Input.OfArrayOfStrings; len(response.Data) != len(texts) {
		return nil, fmt.Errorf("%d vectors for %d texts", len(response.Data), len(texts))
	}
	if response.Usage.PromptTokens <= 0 || response.Usage.TotalTokens != response.Usage.PromptTokens {
		return nil, fmt.Errorf("usage does not add up: %s", response.Usage.RawJSON())
	}
	var vectors [][]float64
	for place, embedding := range response.Data {
		sum := 0.0
		for _, x := range embedding.Embedding {
			sum += x * x
		}
		if embedding.Index != int64(place) || len(embedding.Embedding) != want || math.Abs(math.Sqrt(sum)-1) > 1e-3 {
			return nil, fmt.Errorf("vector %d has index %d, %d dimensions and length %f",
				place, embedding.Index, len(embedding.Embedding), math.Sqrt(sum))
		}
		vectors = append(vectors, embedding.Embedding)
	}
	return vectors, nil
}

func wholeResponse(ctx context.Context) error {
	first, err := client.Responses.New(ctx, responses.ResponseNewParams{
		Model: chatModel,
		Input: responses.ResponseNewParamsInputUnion{
			OfString: openai.String("My favourite colour is a rather unusual shade of greenish blue."),
		},
	})
	if err != nil {
		return err
	}
	if err := checkResponse(*first); err != nil {
		return err
	}
	second, err := client.Responses.New(ctx, responses.ResponseNewParams{
		Model:              chatModel,
		Input:              responses.ResponseNewParamsInputUnion{OfString: openai.String("Which one?")},
		PreviousResponseID: openai.String(first.ID),
	})
	if err != nil {
		return err
	}
	if err := checkResponse(*second); err != nil {
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

func checkResponse(response responses.Response) error {
	if response.ID == "" || response.Object != "response" || response.Status != responses.ResponseStatusCompleted {
		return fmt.Errorf("response %q, object %q, status %q", response.ID, response.Object, response.Status)
	}
	if response.OutputText() == "" {
		return errors.New("no output text")
	}
	usage := response.Usage
	if usage.InputTokens <= 0 || usage.OutputTokens <= 0 || usage.InputTokens+usage.OutputTokens != usage.TotalTokens {
		return fmt.Errorf("usage does not add up: %s", usage.RawJSON())
	}
	return nil
}

func responsesStream(ctx context.Context) error {
	events := client.Responses.NewStreaming(ctx, responses.ResponseNewParams{
		Model: chatModel,
		Input: responses.ResponseNewParamsInputUnion{OfString: openai.String("Hello!")},
	})
	defer events.Close()
	var text strings.Builder
	var completed *responses.Response
	for place := int64(0); events.Next(); place++ {
		event := events.Current()
		if !event.JSON.SequenceNumber.Valid() || event.SequenceNumber != place {
			return fmt.Errorf("event %d (%s) has number %d", place, event.Type, event.SequenceNumber)
		}
		if (place == 0) != (event.Type == "response.created") {
			return fmt.Errorf("event %d is %s", place, event.Type)
		}
		switch variant := event.AsAny().(type) {
		case responses.ResponseTextDeltaEvent:
			text.WriteString(variant.Delta)
		case responses.ResponseCompletedEvent:
			completed = &variant.Response
		case responses.ResponseErrorEvent, responses.ResponseFailedEvent:
			return fmt.Errorf("the stream failed: %s", event.RawJSON())
		case nil:
			return fmt.Errorf("an unknown event: %s", event.RawJSON())
		}
	}
	if err := events.Err(); err != nil {
		return err
	}
	if completed == nil {
		return errors.New("no response.completed")
	}
	if err := checkResponse(*completed); err != nil {
		return err
	}
	if text.String() != completed.OutputText() {
		return fmt.Errorf("the deltas make %q, the response says %q", text.String(), completed.OutputText())
	}
	return nil
}

func files(ctx context.Context) error {
	content := make([]byte, 100*1024)
	rand.NewChaCha8([32]byte{}).Read(content)
	file, err := client.Files.New(ctx, openai.FileNewParams{
		File:    openai.File(bytes.NewReader(content), "noise.bin", "application/octet-stream"),
		Purpose: openai.FilePurposeUserData,
	})
	if err != nil {
		return err
	}
	if file.ID == "" || file.Object != "file" || file.Bytes != int64(len(content)) || file.Filename != "noise.bin" ||
		file.Purpose != "user_data" || file.CreatedAt <= 0 {
		return fmt.Errorf("uploaded: %s", file.RawJSON())
	}
	listed := false
	pages := client.Files.ListAutoPaging(ctx, openai.FileListParams{})
	for pages.Next() {
		listed = listed || pages.Current().ID == file.ID
	}
	if err := pages.Err(); err != nil {
		return err
	}
	if !listed {
		return fmt.Errorf("%s is not in the list", file.ID)
	}
	got, err := client.Files.Get(ctx, file.ID)
	if err != nil {
		return err
	}
	if got.ID != file.ID || got.Bytes != int64(len(content)) {
		return fmt.Errorf("got %s", got.RawJSON())
	}
	download, err := client.Files.Content(ctx, file.ID)
	if err != nil {
		return err
	}
	defer download.Body.Close()
	downloaded, err := io.ReadAll(download.Body)
	if err != nil {
		return err
	}
	if !bytes.Equal(downloaded, content) {
		return fmt.Errorf("%d bytes came back, not the %d of the file", len(downloaded), len(content))
	}
	deleted, err := client.Files.Delete(ctx, file.ID)
	if err != nil {
		return err
	}
	if !deleted.Deleted || deleted.ID != file.ID {
		return fmt.Errorf("deleted: %s", deleted.RawJSON())
	}
	_, err = client.Files.Get(ctx, file.ID)
	_, err = expectError(err, http.StatusNotFound, "")
	return err
}
