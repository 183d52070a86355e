package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/sashabaranov/go-openai"
)

// go-openai retries nothing.
const callsPerRequest = 1

func ask(ctx context.Context, model string) error {
	_, err := client.CreateChatCompletion(ctx, openai.ChatCompletionRequest{Model: model, Messages: userSays("Hello!")})
	return err
}

func error400(ctx context.Context) error {
	apiError, err := expectError(ask(ctx, "fault-400"), http.StatusBadRequest, "invalid_value")
	if err != nil {
		return err
	}
	if apiError.Param == nil || *apiError.Param != "temperature" || !strings.Contains(apiError.Message, "temperature") {
		return fmt.Errorf("param or message: %+v", apiError)
	}
	if apiError.Type != "invalid_request_error" {
		return fmt.Errorf("type %q", apiError.Type)
	}
	return nil
}

func error401(ctx context.Context) error {
	_, err := newClient("sk-wrong-key").ListModels(ctx)
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
	chunks, err := client.CreateChatCompletionStream(ctx, openai.ChatCompletionRequest{
		Model:    "fault-mid-stream",
		Messages: userSays("Hello!"),
	})
	if err != nil {
		return err
	}
	defer chunks.Close()
	var text strings.Builder
	for {
		chunk, err := chunks.Recv()
		if err == nil {
			for _, choice := range chunk.Choices {
				if choice.FinishReason != "" {
					return fmt.Errorf("the stream looks complete: finish_reason %q", choice.FinishReason)
				}
				text.WriteString(choice.Delta.Content)
			}
			continue
		}
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("the stream looks complete after %q", text.String())
		}
		var apiError *openai.APIError
		if !errors.As(err, &apiError) || apiError.Message == "" {
			return fmt.Errorf("want an APIError, got %T: %w", err, err)
		}
		if len(strings.Fields(text.String())) != 2 {
			return fmt.Errorf("%q before the error", text.String())
		}
		return nil
	}
}
