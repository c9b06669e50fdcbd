"""The parts of `charrnn serve`, from one text in progress to the HTTP response.

    stream.py         one text in progress
    engine.py         continuous batching: steps all texts on one network together
    models.py         the served networks
    parameters.py     checked values of requests
    completions.py    requests and responses in the form of OpenAI's completions API
    answer.py         the response to one request, whole or streamed
    errors.py         error responses
    access.py         API key, names of hosts, pages of other sites
    body.py           the body of a request
    metrics.py        metrics for Prometheus
    openapi.py        the description of the API
    app.py            the routes
    protocol.py       connections, with a timeout for request headers
    run.py            the server in one process
    workers.py        several worker processes
    page.py           a web page to try the networks on
"""
