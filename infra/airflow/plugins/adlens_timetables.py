"""Tells Airflow of AdLens's timetable. Airflow's setting `[core] plugins_folder` names this file's folder."""

from airflow.plugins_manager import AirflowPlugin

from dags.on_request import OnRequest


class AdLensTimetables(AirflowPlugin):
    name = "adlens_timetables"
    timetables = [OnRequest]
