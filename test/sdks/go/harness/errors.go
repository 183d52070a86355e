package harness

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

// expectError wants the SDK's own error with that status; without a code, any code will do.
func (s suite) expectError(err error, status int, code string) (APIError, error) {
	apiError, ok := s.ErrorOf(err)
	if !ok {
		return apiError, fmt.Errorf("want the SDK's error for %d, got %T: %v", status, err, err)
	}
	if apiError.Status != status {
		return apiError, fmt.Errorf("want status %d, got %w", status, err)
	}
	if apiError.Message == "" {
		return apiError, fmt.Errorf("the error of %d has no message", status)
	}
	if code != "" && apiError.Code != code {
		return apiError, fmt.Errorf("want code %q, got %q", code, apiError.Code)
	}
	return apiError, nil
}

// expectChatError asks the model something and wants it to fail.
func (s suite) expectChatError(ctx context.Context, model string, status int, code string) (APIError, error) {
	_, err := s.Chat(ctx, model, "Hello!")
	return s.expectError(err, status, code)
}

func (s suite) error400(ctx context.Context) error {
	apiError, err := s.expectChatError(ctx, "fault-400", http.StatusBadRequest, "invalid_value")
	if err != nil {
		return err
	}
	if apiError.Param != "temperature" || !strings.Contains(apiError.Message, "temperature") {
		return fmt.Errorf("param or message: %+v", apiError)
	}
	if apiError.Type != "invalid_request_error" {
		return fmt.Errorf("type %q", apiError.Type)
	}
	return nil
}

func (s suite) error401(ctx context.Context) error {
	_, err := s.expectError(s.ListWithKey(ctx, "sk-wrong-key"), http.StatusUnauthorized, "invalid_api_key")
	return err
}

func (s suite) error404(ctx context.Context) error {
	_, err := s.expectChatError(ctx, "no-such-model", http.StatusNotFound, "model_not_found")
	return err
}

func (s suite) error429(ctx context.Context) error {
	return s.expectRetries(ctx, "fault-429", http.StatusTooManyRequests, "rate_limit_exceeded")
}

func (s suite) error500(ctx context.Context) error {
	return s.expectRetries(ctx, "fault-500", http.StatusInternalServerError, "")
}

func (s suite) expectRetries(ctx context.Context, model string, status int, code string) error {
	return expectCalls(ctx, model, s.CallsPerRequest(), func() error {
		_, err := s.expectChatError(ctx, model, status, code)
		return err
	})
}

func (s suite) errorMidStream(ctx context.Context) error {
	var text strings.Builder
	for chunk, err := range s.Stream(ctx, StreamRequest{Model: "fault-mid-stream", Prompt: "Hello!"}) {
		if err != nil {
			if err := s.CheckStreamError(err); err != nil {
				return fmt.Errorf("after %q: %w", text.String(), err)
			}
			if len(strings.Fields(text.String())) != 2 {
				return fmt.Errorf("%q before the error", text.String())
			}
			return nil
		}
		if chunk.Finish != "" {
			return fmt.Errorf("the stream looks complete: finish_reason %q", chunk.Finish)
		}
		text.WriteString(chunk.Content)
	}
	return fmt.Errorf("the stream looks complete after %q", text.String())
}
