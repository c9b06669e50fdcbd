"""The parts of `charrnn serve`, from a text in progress to what a client gets.

    stream.py         a text in progress
    engine.py         steps all of those on one network together
    models.py         the networks that are served
    completions.py    OpenAI's forms of what is asked for, and of what is answered
    answer.py         what one request gets, all at once or as it is written
    errors.py         why a request is not answered
    metrics.py        counts of what happened
    app.py            the routes
    protocol.py       connections, and an end to those on which no request comes
    run.py            all that, in one process
    workers.py        several processes
    page.py           a page to try it on
"""
