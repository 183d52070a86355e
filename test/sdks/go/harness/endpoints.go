package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
)

func (s suite) models(ctx context.Context) error {
	list, err := s.Models(ctx)
	if err != nil {
		return err
	}
	for _, model := range list {
		if err := model.check(); err != nil {
			return err
		}
	}
	if !slices.ContainsFunc(list, func(model Model) bool { return model.ID == ChatModel }) {
		return fmt.Errorf("%s is not among the %d models", ChatModel, len(list))
	}
	model, err := s.Model(ctx, ChatModel)
	if err != nil {
		return err
	}
	if model.ID != ChatModel {
		return fmt.Errorf("got %+v", model)
	}
	if err := model.check(); err != nil {
		return err
	}
	_, err = s.Model(ctx, "no-such-model")
	_, err = s.expectError(err, http.StatusNotFound, "")
	return err
}

func (s suite) embeddings(ctx context.Context) error {
	texts := []string{"The food was delicious.", "Съешь же ещё этих булок."}
	vectors, err := s.embed(ctx, texts, 0, 1536)
	if err != nil {
		return err
	}
	if slices.Equal(vectors[0].Values, vectors[1].Values) {
		return errors.New("two texts have the same vector")
	}
	again, err := s.embed(ctx, texts[:1], 0, 1536)
	if err != nil {
		return err
	}
	same := func(a, b float64) bool { return math.Abs(a-b) < 1e-6 }
	if !slices.EqualFunc(vectors[0].Values, again[0].Values, same) {
		return errors.New("the same text has two vectors")
	}
	_, err = s.embed(ctx, texts, 256, 256)
	return err
}

// embed checks that there is a vector of length 1 for each text.
func (s suite) embed(ctx context.Context, texts []string, dimensions, want int) ([]Vector, error) {
	embeddings, err := s.Embed(ctx, texts, dimensions)
	if err != nil {
		return nil, err
	}
	if len(embeddings.Vectors) != len(texts) {
		return nil, fmt.Errorf("%d vectors for %d texts", len(embeddings.Vectors), len(texts))
	}
	if embeddings.PromptTokens <= 0 || embeddings.TotalTokens != embeddings.PromptTokens {
		return nil, fmt.Errorf("usage does not add up: %d prompt tokens, %d in total", embeddings.PromptTokens, embeddings.TotalTokens)
	}
	for place, vector := range embeddings.Vectors {
		sum := 0.0
		for _, x := range vector.Values {
			sum += x * x
		}
		if vector.Index != int64(place) || len(vector.Values) != want || math.Abs(math.Sqrt(sum)-1) > 1e-3 {
			return nil, fmt.Errorf("vector %d has index %d, %d dimensions and length %f",
				place, vector.Index, len(vector.Values), math.Sqrt(sum))
		}
	}
	return embeddings.Vectors, nil
}

func (s suite) responses(ctx context.Context) error {
	first, err := s.Respond(ctx, "My favourite colour is a rather unusual shade of greenish blue.", "")
	if err != nil {
		return err
	}
	if err := first.check(); err != nil {
		return err
	}
	second, err := s.Respond(ctx, "Which one?", first.ID)
	if err != nil {
		return err
	}
	if err := second.check(); err != nil {
		return err
	}
	if second.ID == first.ID || second.PreviousID != first.ID {
		return fmt.Errorf("%s follows %q, want %s", second.ID, second.PreviousID, first.ID)
	}
	if second.Usage.Input <= first.Usage.Input {
		return fmt.Errorf("the follow-up has %d input tokens, what it follows has %d", second.Usage.Input, first.Usage.Input)
	}
	return nil
}

func (s suite) responsesStream(ctx context.Context) error {
	var text strings.Builder
	var completed *Response
	place := int64(0)
	for event, err := range s.StreamResponse(ctx, "Hello!") {
		if err != nil {
			return err
		}
		if event.Number != place {
			return fmt.Errorf("event %d (%s) has number %d", place, event.Type, event.Number)
		}
		if (place == 0) != (event.Type == "response.created") {
			return fmt.Errorf("event %d is %s", place, event.Type)
		}
		switch event.Type {
		case "response.output_text.delta":
			text.WriteString(event.Delta)
		case "response.completed":
			completed = event.Response
		case "error", "response.failed":
			return fmt.Errorf("the stream failed: %s", event.Raw)
		}
		place++
	}
	if completed == nil {
		return errors.New("no response.completed")
	}
	if err := completed.check(); err != nil {
		return err
	}
	if text.String() != completed.Text {
		return fmt.Errorf("the deltas make %q, the response says %q", text.String(), completed.Text)
	}
	return nil
}

func (s suite) files(ctx context.Context) error {
	const name, purpose = "noise.bin", "user_data"
	content := make([]byte, 100*1024)
	rand.NewChaCha8([32]byte{}).Read(content)
	file, err := s.Upload(ctx, name, purpose, content)
	if err != nil {
		return err
	}
	if file.ID == "" || file.Object != "file" || file.Bytes != int64(len(content)) || file.Name != name ||
		file.Purpose != purpose || file.Created <= 0 {
		return fmt.Errorf("uploaded: %+v", file)
	}
	ids, err := s.FileIDs(ctx)
	if err != nil {
		return err
	}
	if !slices.Contains(ids, file.ID) {
		return fmt.Errorf("%s is not among the %d files", file.ID, len(ids))
	}
	got, err := s.File(ctx, file.ID)
	if err != nil {
		return err
	}
	if got.ID != file.ID || got.Bytes != int64(len(content)) {
		return fmt.Errorf("got %+v", got)
	}
	downloaded, err := s.Download(ctx, file.ID)
	if err != nil {
		return err
	}
	if !bytes.Equal(downloaded, content) {
		return fmt.Errorf("%d bytes came back, not the %d of the file", len(downloaded), len(content))
	}
	if err := s.Delete(ctx, file.ID); err != nil {
		return err
	}
	_, err = s.File(ctx, file.ID)
	_, err = s.expectError(err, http.StatusNotFound, "")
	return err
}
