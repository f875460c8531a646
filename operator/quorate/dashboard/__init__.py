"""The one page for the whole cluster: the report that the command line prints, live, in a browser.

mirror.py    every object of Quorate's, kept by watches; one for all pages
picture.py   what is made of it once for each change: report, rules, log, recoveries
look.py      what one person wants to see of it, as the query of an address
panels.py    pictures and looks as HTML; the same look is drawn once for everybody
stream.py    the panels that have changed, as server-sent events
sessions.py  who is signed in; rights.py: what they may do; guards.py: what every answer and request is held to
actions.py   what can be done, and what is shown before: the verbs of the command line
switches.py  the lab's power, network and freeze
server.py    all of it as one program
"""
