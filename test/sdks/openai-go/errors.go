package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/ssestream"
)

// Two retries are the SDK's default.
const callsPerRequest = 3

func ask(ctx context.Context, model string) error {
	_, err := client.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{Model: model, Messages: userSays("Hello!")})
	return err
}

func error400(ctx context.Context) error {
	apiError, err := expectError(ask(ctx, "fault-400"), http.StatusBadRequest, "invalid_value")
	if err != nil {
		return err
	}
	if apiError.Param != "temperature" || !strings.Contains(apiError.Message, "temperature") {
		return fmt.Errorf("param or message: %s", apiError.RawJSON())
	}
	if apiError.Type != "invalid_request_error" {
		return fmt.Errorf("type %q", apiError.Type)
	}
	return nil
}

func error401(ctx context.Context) error {
	_, err := client.Models.List(ctx, option.WithAPIKey("sk-wrong-key"))
	_, err = expectError(err, http.StatusUnauthorized, "invalid_api_key")
	return err
}

func error404(ctx context.Context) error {
	_, err := expectError(ask(ctx, "no-such-model"), http.StatusNotFound, "model_not_found")
	return err
}

func error429(ctx context.Context) error {
	return expectCalls(ctx, "fault-429", callsPerRequest, func() error {
		_, err := expectError(ask(ctx, "fault-429"), http.StatusTooManyRequests, "rate_limit_exceeded")
		return err
	})
}

func error500(ctx context.Context) error {
	return expectCalls(ctx, "fault-500", callsPerRequest, func() error {
		_, err := expectError(ask(ctx, "fault-500"), http.StatusInternalServerError, "")
		return err
	})
}

func errorMidStream(ctx context.Context) error {
	chunks := client.Chat.Completions.NewStreaming(ctx, openai.ChatCompletionNewParams{
		Model:    "fault-mid-stream",
		Messages: userSays("Hello!"),
	})
	defer chunks.Close()
	var text strings.Builder
	for chunks.Next() {
		for _, choice := range chunks.Current().Choices {
			if choice.FinishReason != "" {
				return fmt.Errorf("the stream looks complete: finish_reason %q", choice.FinishReason)
			}
			text.WriteString(choice.Delta.Content)
		}
	}
	var streamError *ssestream.StreamError
	if !errors.As(chunks.Err(), &streamError) {
		return fmt.Errorf("want a StreamError after %q, got %T: %v", text.String(), chunks.Err(), chunks.Err())
	}
	if !strings.Contains(streamError.Message, "server_error") {
		return fmt.Errorf("the error says nothing: %q", streamError.Message)
	}
	if len(strings.Fields(text.String())) != 2 {
		return fmt.Errorf("%q before the error", text.String())
	}
	return nil
}
