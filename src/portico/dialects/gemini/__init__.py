"""Google Gemini `generateContent`, spoken to providers only: the Gemini API and Vertex AI.

Sources: https://ai.google.dev/api/generate-content,
https://docs.cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference (2026-11-21);
field names and types agree with the `google-genai` 3.4 SDK.
"""
